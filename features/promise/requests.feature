Feature: A caller's mistake is told to the caller, and is never a fault of the node

  Background:
    Given a node

  Scenario Outline: What is malformed is refused
    When the dispatcher mistakenly posts <mistake>
    Then it is refused with <status> and the type "validation"

    Examples:
      | mistake                         | status |
      | something that is not JSON      | 400    |
      | version 2                       | 400    |
      | an empty command                | 400    |
      | an unknown field                | 400    |
      | a job without task id           | 400    |
      | the job id ".."                 | 400    |
      | the job id "a/b"                | 400    |
      | a job id of 300 characters      | 400    |
      | a job id with a NUL             | 400    |
      | the image "--privileged"        | 400    |
      | the image "--volume=/:/x"       | 400    |
      | an image that is not there      | 422    |
      | a wish for inference            | 422    |
      | more memory than the node gives | 422    |
      | a body of 11 MiB                | 413    |

  Scenario: A missing image is an answer within a second
    When the dispatcher mistakenly posts an image that is not there
    Then the answer came within 1000 ms

  Scenario: An unknown path and an unknown method
    When the dispatcher asks for "/v1/worker/nothing"
    Then it is refused with 404 and the type "not_found"

  Scenario: An id that is used for another job
    Given a job that ran "echo one"
    When the dispatcher posts the same id for "echo two"
    Then it is refused with 409 and the type "validation"

  Scenario: A node that is full says when to come again
    Given the node may run 1 job and queue 1
    When the dispatcher submits 3 jobs that run "sleep 60"
    Then the last one is turned away for now
