Feature: The code's author is told what the sandbox can do

  Scenario: The text names the job's own limits, and that nothing is reachable
    Given a node
    When the dispatcher runs "cat $PINFOLD_HELP" with 128 MiB of memory and 33 processes
    Then the help says "- memory: 128 MiB, no swap"
    And the help says "- processes and threads: 33"
    And the help says "None. There is no interface but loopback"
    And the help says "None: this sandbox was not given inference."
    And the help does not say "11434"

  Scenario: It is read-only
    Given a node
    When the dispatcher runs "echo mine 2>/dev/null > $PINFOLD_HELP; grep -c mine $PINFOLD_HELP; echo $PINFOLD_HELP"
    Then its output is "0\n/run/pinfold/HELP.txt"

  Scenario: It names the models that the job may use, and its budget
    Given a node with inference
    When a job that may use the model "small" and make 3 calls reads its help
    Then the help says "Models: small. No others."
    And the help says "At most: 3 calls, 64 calls at a time."
    And the help says where the clients' variables point to

  Scenario: It lists what egress rules allow
    Given a node
    When a job that may fetch from "files.example.org" reads its help
    Then the help says "- files.example.org:443"
    And the help does not say "None. There is no interface"

  Scenario: A sandbox that waited tells of the job that got it
    Given a node that keeps 1 sandboxes waiting
    When the dispatcher runs "cat $PINFOLD_HELP" for at most 77 seconds
    Then the help says "- time: 77 s"
    And it was served from the pool

  Scenario Outline: Code in a session reads it: <lang>
    Given a node
    And a <lang> session
    When it executes "<code>"
    Then the code's help is for one session, and nothing else was printed

    Examples:
      | lang   | code                                                                |
      | bash   | cat $PINFOLD_HELP                                                   |
      | Python | import os; print(open(os.environ['PINFOLD_HELP']).read().rstrip()) |

  Scenario: An interpreter that waited reads of the session that got it
    Given a node
    And a node that keeps 1 sandbox with a running Python
    And a Python session
    When it executes "import os; print(open(os.environ['PINFOLD_HELP']).read().rstrip())"
    Then the code's help is for one session, and nothing else was printed

  Scenario: Without containers, no limit is promised that nobody enforces
    Given a node without containers
    When the dispatcher runs "cat $PINFOLD_HELP"
    Then the help says "without a container"
    And the help does not say "memory:"
