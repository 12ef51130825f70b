Feature: A real inference server
  What holds for our own upstream holds for llama.cpp's server too, with a model of random weights.

  Background:
    Given a node with a real inference server

  Scenario Outline: An unmodified client works, and all count the same tokens
    When a job runs the program "<program>" with the cases "models unary stream responses responses-stream"
    Then each case ended well
    And the job has used the tokens that the server has counted
    And its client was told the same

    Examples:
      | program        |
      | openai-sdk.py  |
      | openai-sdk.cjs |

  Scenario: What the server still knew of a prompt is counted, though Anthropic's dialect tells it apart
    When a job runs the program "anthropic-sdk.py" with the cases "models unary stream"
    Then each case ended well
    And the job has used the tokens that the server has counted

  Scenario: The end of a job frees the server's slot
    Given a job whose client listens to an answer without end
    When the job is stopped
    Then the server's only slot is free within 500 ms
    When a job runs the program "openai-sdk.py" with the cases "stream"
    Then each case ended well
