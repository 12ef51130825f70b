Feature: A job runs once, however often it is asked for

  Background:
    Given a node

  Scenario: Three posts at once
    When the dispatcher posts a job that prints a random number 3 times at once
    Then all answers are equal
    And one sandbox was made

  Scenario: A post after the end returns the result
    Given a job that ran "cat /proc/sys/kernel/random/uuid"
    When the dispatcher posts the same job again
    Then all answers are equal

  Scenario: A client that hangs up loses nothing
    When the dispatcher hangs up on a job that runs "sleep 1; echo done"
    And posts the same job again
    Then the job completed
    And its output is "done"
