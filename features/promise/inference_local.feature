Feature: inference.local
  Inference has a name and a certificate inside a sandbox. Clients that check everything believe it,
  and nobody else's.

  Background:
    Given a node with inference

  Scenario Outline: An unmodified client just works by HTTPS
    When a job runs the program "<program>" by HTTPS with the cases "<cases>"
    Then each case ended well

    Examples:
      | program          | cases                                                                        |
      | openai-sdk.py    | unary stream tools tools-stream responses responses-stream embed models abort |
      | openai-sdk.cjs   | unary stream tools tools-stream responses responses-stream embed models abort |
      | anthropic-sdk.py | unary stream tools tools-stream models abort                                  |
      | ollama-sdk.py    | unary stream tools tools-stream generate embed models abort                   |
      | curl.sh          | unary stream tools embed models abort                                         |

  Scenario Outline: No fault of the upstream looks like success by HTTPS
    When a job runs the program "<program>" by HTTPS with the cases "cut reset stall silent error-500 whole-cut whole-stall large"
    Then no case ended well

    Examples:
      | program          |
      | openai-sdk.py    |
      | openai-sdk.cjs   |
      | anthropic-sdk.py |
      | curl.sh          |

  Scenario Outline: A client has the HTTP that it asks for
    When a job asks curl for the models with "<option>"
    Then curl says "200 <version>"

    Examples:
      | option                                   | version |
      | --http1.1                                | 1.1     |
      | --http2                                  | 2       |
      | --http1.1 --proxy http://127.0.0.1:11434 | 1.1     |
      | --http2 --proxy http://127.0.0.1:11434   | 2       |

  Scenario: What is no inference is refused by HTTPS, too
    When a job asks curl for "https://inference.local/api/pull"
    Then curl says "403 2"

  Scenario Outline: The strictest check is passed
    When a job asks for the models by a strict client of <language>
    Then its output is "200"

    Examples:
      | language |
      | Python   |
      | Node     |

  Scenario Outline: Whoever is not inference.local is not believed
    When a job asks curl for "<url>" with "<option>"
    Then curl ends with 60

    Examples:
      | url                       | option                                        |
      | https://localhost/        |                                               |
      | https://127.0.0.1/        |                                               |
      | https://a.inference.local/ | --resolve a.inference.local:443:127.0.0.1    |
      | https://example.com/      | --resolve example.com:443:127.0.0.1           |
      | https://inference.local/  | --cacert /etc/ssl/certs/ca-certificates.crt   |

  Scenario: A sandbox has certificates and no key
    When a job with curl looks at what it is told to believe
    Then it finds one authority of its own, more in the bundle, and no key

  Scenario: A request has its own authorities
    When a job whose request names another bundle asks curl for the models
    Then curl ends with 77

  Scenario: HTTPS comes back with the node
    Given a job that calls by HTTPS before and after a pause
    When the node is killed and started again in the pause
    Then the job ended with both calls answered
