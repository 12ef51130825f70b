Feature: A sandbox with inference
  Models are reached by unmodified clients, over loopback and nothing else. What leaves is judged,
  counted and cut when its job ends.

  Background:
    Given a node with inference

  Scenario: Only loopback is there, and nothing asks for a proxy
    When a job with inference runs "cat /proc/net/dev; env | grep -i proxy_ ; env | grep -i _proxy"
    Then its network is loopback only
    And its environment names no proxy but "INFERENCE_PROXY_URL"

  Scenario: The proxy is on loopback and on a socket
    When a job with curl asks "$OLLAMA_BASE_URL/healthz" and the socket of INFERENCE_PROXY_URL
    Then its output is "okok"

  Scenario Outline: An unmodified client just works
    When a job runs the program "<program>" with the cases "<cases>"
    Then each case ended well

    Examples:
      | program          | cases                                                                        |
      | openai-sdk.py    | unary stream tools tools-stream responses responses-stream embed models abort |
      | openai-sdk.cjs   | unary stream tools tools-stream responses responses-stream embed models abort |
      | anthropic-sdk.py | unary stream tools tools-stream count models abort                            |
      | ollama-sdk.py    | unary stream tools tools-stream generate embed models abort                   |
      | ollama-sdk.cjs   | unary stream tools tools-stream generate embed models abort                   |
      | curl.sh          | unary stream tools embed models abort                                         |

  Scenario Outline: No fault of the upstream looks like success
    When a job runs the program "<program>" with the cases "cut malformed reset redirect stall silent slow-headers gzip error-429 error-500 error-529 whole-cut whole-stall whole-gzip large"
    Then no case ended well

    Examples:
      | program          |
      | openai-sdk.py    |
      | openai-sdk.cjs   |
      | anthropic-sdk.py |
      | ollama-sdk.py    |
      | ollama-sdk.cjs   |
      | curl.sh          |

  Scenario Outline: What is odd but whole arrives whole
    When a job runs the program "<program>" with the cases "bytes huge whole-bytes whole-huge"
    Then each case ended well

    Examples:
      | program          |
      | openai-sdk.py    |
      | openai-sdk.cjs   |
      | anthropic-sdk.py |
      | ollama-sdk.py    |
      | ollama-sdk.cjs   |

  Scenario Outline: Nothing else is reachable
    When a job with inference tries <what>
    Then it fails at once

    Examples:
      | what                       |
      | the upstream's own address |
      | the host's loopback        |
      | a name of the internet     |
      | the gate's socket          |

  Scenario Outline: What is no inference is refused
    When a job with inference posts to "<path>"
    Then the gate answers it with <status>
    And the upstream has heard nothing

    Examples:
      | path            | status |
      | /api/pull       | 403    |
      | /api/push       | 403    |
      | /api/create     | 403    |
      | /api/delete     | 403    |
      | /api/blobs/a    | 403    |
      | /api/me         | 403    |
      | /v1/files       | 403    |
      | /v1/batches     | 403    |
      | //api/chat      | 400    |
      | /api/%63hat     | 400    |

  Scenario: A job has its own models
    When a job that may use the model "dev" asks for the model "dev-other"
    Then the gate answers it with 404
    And the upstream has heard nothing

  Scenario: A budget is kept, and told
    When a job that may make 2 calls makes 3
    Then the gate answers it with 200, 200 and 429
    And its result counts 2 calls and 1 refusal

  Scenario: The end of a job ends its calls
    Given a job that listens to a stream without end
    When the job is stopped
    Then the upstream's call ends within 100 ms

  Scenario: A thousand aborted streams leave nothing
    When a job begins a thousand streams and breaks each off
    Then the upstream has no call open
    And the node has no call open

  Scenario: A sidecar that dies is the node's fault
    Given a job that listens to a stream without end
    Then its sidecar can write no file
    When its sidecar is killed
    Then the job ended by a fault of the node in the phase "gate"

  Scenario: A proxy that is not there is said before
    Given the node's inference proxy is an image that is not there
    When a job with inference runs "true"
    Then it is refused with 422 and the type "validation"

  Scenario: A proxy that does not start is a fault with its phase
    Given the node's inference proxy is an image that is no proxy
    When a job with inference runs "true"
    Then it failed in the phase "proxy_start" or "proxy_ready"
    And no sandbox is left

  Scenario: A waiting sandbox with inference is claimed like any other
    Given the node keeps 1 sandbox with inference waiting
    When a job runs the program "curl.sh" with the cases "stream"
    Then each case ended well
    And the job was served from the pool

  Scenario: A job goes on across the node's death and calls again
    Given a job that calls before and after a pause
    When the node is killed and started again in the pause
    Then the job ended with both calls answered
