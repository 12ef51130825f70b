Feature: A session sandbox lives across commands

  Background:
    Given a node

  Scenario: Files stay from one command to the next
    Given a session
    When it runs "echo kept > note"
    And it runs "cat note"
    Then the command's output is "kept"

  Scenario: A command's deadline leaves the session alive
    Given a session
    When it runs "sleep 60" for at most 1 second
    And it runs "echo alive"
    Then the command's output is "alive"

  Scenario: The end
    Given a session
    When it is ended
    And it runs "true"
    Then it is refused with 410 and the type "not_found"

  Scenario: Idleness ends it
    Given a session that may idle 1 second
    Then it ends as "idle"

  Scenario: Age ends it
    Given a session that may live 1 second
    Then it ends as "lifetime"

  Scenario: It survives the death of the node
    Given a session
    When it runs "echo kept > note"
    And the node is killed and started again
    And it runs "cat note"
    Then the command's output is "kept"
