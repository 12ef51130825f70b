Feature: The floor holds, seen from inside a sandbox

  Scenario Outline: <line>
    Given a node
    When the floor is looked at from inside
    Then <line>

    Examples:
      | line                                       |
      | every capability set is empty              |
      | nothing gives new privileges               |
      | system calls are filtered                  |
      | the user is not root and not the host's    |
      | only local and route sockets can be opened |
      | the dangerous system calls are refused     |
      | there is no interface but loopback         |
      | the root can't be written                  |
      | no foreign socket is in sight              |
      | core dumps are off                         |
      | the agent's memory can't be read           |
      | every writable mount has a size            |

  Scenario: Two sandboxes have different users on the host
    Given a node
    When 2 jobs that print their range of users run at once
    Then the ranges differ

  Scenario: The environment holds nothing of the host
    Given a node
    When the dispatcher runs "env | cut -d= -f1 | sort | tr '\n' ' '"
    Then its output is "CYNODE_ARTIFACTS_DIR CYNODE_JOB_ID CYNODE_TASK_ID CYNODE_WORKSPACE_DIR HOME PATH PINFOLD_HELP PWD SHLVL "
