Feature: From a key to an answer in five steps
  The session that the contract prints, word for word, and what unmodified clients then get.

  Background:
    Given a node with an admin
    And a provider that is strict about its key and its models

  Scenario: The session as printed
    When the operator types "provider create --name nvidia-build --type nvidia --from-existing"
    And the operator types "inference set --provider nvidia-build --model meta/llama-3.1-8b-instruct"
    And the operator types "inference get"
    Then it prints the provider "nvidia-build", the model "meta/llama-3.1-8b-instruct" and the version 1
    When the operator types "inference update --model meta/llama-3.3-70b-instruct"
    And a job with curl asks https://inference.local for the model "anything"
    Then the answer is from "meta/llama-3.3-70b-instruct"
    And the provider was asked for "meta/llama-3.3-70b-instruct" with its key in "authorization" alone

  Scenario Outline: An unmodified SDK has the route's model, by a key that it never had
    Given the operator has set the route "default" to "meta/llama-3.3-70b-instruct" of "nvidia"
    And the operator has set the route "clever" to "claude-sonnet-4-5" of "anthropic"
    When a job runs the program "<program>" by HTTPS, for the model "<asked>", with the cases "unary stream"
    Then each case ended well
    And each answer is from "<served>"
    And the provider was asked for "<served>" with its key in "<header>" alone
    And one of the calls was a stream

    Examples:
      | program          | asked    | served                      | header        |
      | openai-sdk.py    | anything | meta/llama-3.3-70b-instruct | authorization |
      | openai-sdk.cjs   | anything | meta/llama-3.3-70b-instruct | authorization |
      | anthropic-sdk.py | clever   | claude-sonnet-4-5           | x-api-key     |

  Scenario: A change counts for the next call of a job that runs
    Given the operator has set the route "default" to "meta/llama-3.1-8b-instruct" of "nvidia"
    And a job that calls the model "anything" again and again
    When the operator types "inference update --model meta/llama-3.3-70b-instruct"
    Then the job's calls were all answered, first from "meta/llama-3.1-8b-instruct" and in the end from "meta/llama-3.3-70b-instruct"
