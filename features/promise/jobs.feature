Feature: A dispatcher runs a job and is told what happened

  Background:
    Given a node

  Scenario: Hello
    When the dispatcher runs "echo hello"
    Then the job completed
    And its output is "hello"

  Scenario: A program's failure is a result
    When the dispatcher runs "echo oops >&2; exit 7"
    Then the job failed with code 7 because of "exit"
    And its error output is "oops"

  Scenario: A signal is told as one
    When the dispatcher runs "kill -SEGV $$"
    Then the job failed with code 139 because of "signal"

  Scenario: A command that is not there never ran
    When the dispatcher runs the command "no-such-program"
    Then the job failed with code 127 because of "not_executable"

  Scenario: The workspace and the names of the job
    When the dispatcher runs "pwd; echo $CYNODE_WORKSPACE_DIR; test $CYNODE_JOB_ID && echo named"
    Then its output is "/workspace\n/workspace\nnamed"

  Scenario: The node's names can't be changed, others pass
    When the dispatcher runs "echo $CYNODE_TASK_ID $CYNODE_PROMPT" with CYNODE_TASK_ID "mine" and CYNODE_PROMPT "hi"
    Then its output is the task's id and "hi"

  Scenario Outline: There is no network, whatever the policy
    When the dispatcher runs "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '" with the policy "<policy>"
    Then its output is "lo"

    Examples:
      | policy     |
      | none       |
      | restricted |
      | allow      |

  Scenario: An agent's job gets its specification and gives its result
    When the dispatcher runs an agent that copies "/job/job.json" to "/job/result.json"
    Then the result of the agent is its specification

  Scenario: A result file that is a link to somewhere else is not followed
    When the dispatcher runs an agent that links "/etc/passwd" to "/job/result.json"
    Then the job completed
    And there is no result of the agent

  Scenario: Binary output does not fail a job
    When the dispatcher runs "printf 'a\\377b'"
    Then the job completed
    And its output is "a�b"

  Scenario: Output is cut at its cap, and says so
    When the dispatcher runs "head -c 300000 /dev/zero | tr '\\0' x; echo small >&2"
    Then the job completed
    And 262144 bytes of its output were kept and it is marked as cut

  Scenario: Eight jobs at once keep their outputs apart
    When the dispatcher runs 8 jobs at once that each print their own id 500 times
    Then each output holds its own id and no other
