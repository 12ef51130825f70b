Feature: Limits hold against programs that mean it

  Background:
    Given a node

  Scenario Outline: A hostile program ends with its reason, and the next job is unharmed
    When a <program> runs for at most 3 seconds
    Then it ended as "<status>" because of "<reason>"
    And nothing of it is alive
    And the next job is unharmed

    Examples:
      | program                  | status  | reason       |
      | sleeper                  | timeout | deadline     |
      | TERM ignorer             | timeout | deadline     |
      | fork bomb                | timeout | deadline     |
      | zombie maker             | timeout | deadline     |
      | busy loop                | timeout | deadline     |
      | memory hog               | failed  | oom          |
      | shared memory hog        | failed  | oom          |
      | workspace filler         | failed  | disk_limit   |
      | tmp filler               | failed  | disk_limit   |
      | writer of one large file | failed  | signal       |
      | output flood             | failed  | output_limit |
      | fd eater                 | failed  | exit         |
      | reader of nothing        | timeout | deadline     |

  Scenario: A program that spoils its own folders has its end told all the same
    When a spoiler of its folders runs for at most 10 seconds
    Then it ended as "completed" because of "exit"
    And its result says that artifacts were left out

  Scenario: A daemon that forks twice ends with its job
    When the dispatcher runs "(setsid sleep 1000 &) & echo started"
    Then the job completed
    And nothing of it is alive

  Scenario: The limits that hold are told
    When the dispatcher runs "cat /proc/self/limits" with 64 MiB of memory and 20 processes
    Then the limits of the result are 64 MiB of memory and 20 processes

  Scenario: Processes are counted
    When the dispatcher runs "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1 & done; wait" with 64 MiB of memory and 8 processes
    Then its error output contains "fork"
