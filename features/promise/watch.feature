Feature: A long job is submitted, watched, fed and stopped

  Background:
    Given a node

  Scenario: Submit and fetch
    When the dispatcher submits "echo later"
    Then the job is ended in the end, with the output "later"
    And it is in the list of ended jobs

  Scenario: Events are taken up where they were left
    Given a job that ran "printf 0123456789"
    When its events are read after "4-0"
    Then they hold the output "456789" and the end

  Scenario: Heartbeats while nothing happens
    When the dispatcher submits "sleep 30"
    Then its events hold a heartbeat

  Scenario: Standard input
    When the dispatcher submits "cat" with its input open
    And sends it "some words"
    Then the job is ended in the end, with the output "some words"

  Scenario: Cancel
    When the dispatcher submits "echo begun; sleep 60"
    And stops it once it has printed "begun"
    Then the job is ended in the end as "canceled"
    And nothing of it is alive

  Scenario: Ctrl-C stops the job that somebody runs, whose last words they see
    When somebody runs "trap 'echo last words; exit 3' TERM; echo be''gun; sleep 60 & wait"
    Then they see "begun"
    When they press Ctrl-C
    Then they see "last words"
    And their command ends with 130

  Scenario: Stopping what does not run
    When the dispatcher stops a job that nobody knows
    Then it is told that it is not running

  Scenario: Stop all
    When the dispatcher submits "sleep 60"
    And the orchestrator stops all
    Then the job is ended in the end as "canceled"
