Feature: The node may die at any moment

  Background:
    Given a node

  Scenario: A running job goes on and tells its true end
    When the dispatcher submits "echo before; sleep 2; echo after; exit 5"
    And the node is killed and started again once it has printed "before"
    Then the job is ended in the end with code 5
    And its output was "before\nafter\n"

  Scenario: A job that ended while nobody watched
    When the dispatcher submits "echo before; sleep 1; echo after"
    And the node is killed once it has printed "before", and started again 2 seconds later
    Then the job is ended in the end, with the output "before\nafter"

  Scenario: A deadline holds across the death
    When the dispatcher submits "echo before; sleep 60" for at most 2 seconds
    And the node is killed and started again once it has printed "before"
    Then the job is ended in the end as "timeout"

  Scenario: Results stay readable
    Given a job that ran "echo kept"
    When the node is killed and started again
    And the dispatcher posts the same job again
    Then all answers are equal

  Scenario: A sandbox that died with the node is no exit code
    When the dispatcher submits "echo before; sleep 60"
    And the node is killed, the sandbox too, and the node is started again
    Then the job ended by a fault of the node

  Scenario: A container that nobody owns is removed
    Given a container with the node's label that nobody owns
    Then it is gone within a sweep

  Scenario: Killed at random under load
    When the node is killed 100 times at random while jobs run
    Then every accepted job ended once and truly
    And no sandbox is left
