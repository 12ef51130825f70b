Feature: A terminal in a session

  Background:
    Given a node
    And a bash session

  Scenario: A shell on a terminal, without any rights
    When a terminal is opened in it
    And "tty; stty size; grep CapEff /proc/self/status" is typed
    Then it writes "/dev/pts/"
    And it writes "24 80"
    And it writes "0000000000000000"

  Scenario: Its size, and a signal to what is in the foreground
    When a terminal is opened in it
    And it is resized to 5 by 60
    And "sh -c 'stty size; exec cat'" is typed
    Then it writes "5 60"
    When the signal "INT" is sent to it
    And "echo $((6 * 7))" is typed
    Then it writes "42"

  Scenario: A program in it opens a terminal of its own
    Given a Python session
    When a terminal is opened in it
    And "python3 -c 'import pty; pty.spawn(["sh", "-c", "tty; stty size"])'" is typed
    Then it writes "/dev/pts/1"
    And it writes "0 0"

  Scenario: Its end is told
    When a terminal is opened in it
    And "exit 3" is typed
    Then its end is told as {"code":3}

  Scenario: A viewer that was lost goes on where it was
    When a terminal is opened in it
    And "echo $((1 + 1))st; sleep 0.5; echo $((3 + 4))th" is typed
    Then it writes "2st"
    When its viewer is lost
    And somebody looks at it from where that was
    Then no more than "7th" is written, not "2st"
    When somebody looks at it
    Then it writes "7th"

  Scenario: It survives the death of the node
    When a terminal is opened in it
    And "x=$((6 * 7)); echo set" is typed
    Then it writes "set"
    When the node is killed and started again
    And somebody looks at it from where that was
    And "echo is $x" is typed
    Then it writes "is 42"

  Scenario: A viewer that reads nothing makes nothing grow
    When a terminal is opened in it
    And "seq 100000000" is typed
    Then the node does not grow by 8 MiB while nobody reads what it writes

  Scenario: What runs on it ends with it
    When a terminal is opened in it
    And "nohup sleep 4321 & echo $((6 * 7))" is typed
    Then it writes "42"
    When it is ended by its id
    Then its end is told as {"signal":9}
    When it executes "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 432[1]'; :"
    Then the code printed "0"

  Scenario: Who may not look
    When a terminal is opened in it
    Then a page in a browser may not look at it, and nobody without the token

  Scenario: A session has a few
    Then 4 terminals fit, and no more
