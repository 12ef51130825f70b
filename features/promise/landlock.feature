Feature: Landlock stands behind the other walls

  Scenario: A job is told what it was fenced with
    Given a node
    When the dispatcher runs "true"
    Then the result says that Landlock is what the kernel has
    And the node's metrics say the same

  Scenario: What an operator turns off is told, too
    Given a node with Landlock "off"
    When the dispatcher runs "true"
    Then the result says that Landlock is "off"

  Scenario Outline: In a container, it closes <what>
    Given a node
    When the dispatcher runs "<script>"
    Then Landlock forbade it, where the kernel has it

    Examples:
      | what             | script                     |
      | /proc to writers | echo other > /proc/self/comm |

  Scenario Outline: Every program finds the baseline: <case>, <node>
    Given a node <node>
    When the dispatcher runs the program of the case "<case>"
    Then it read what all may read, and wrote what it may write

    Examples:
      | case  | node               |
      | BFS-1 | with containers    |
      | BFS-1 | without containers |
      | BFS-2 | without containers |

  Scenario: In a container, nothing beyond the baseline is written
    Given a node with containers
    When the dispatcher runs "for f in /etc/x /usr/x /run/x /x /run/pinfold/x; do echo x 2>/dev/null > $f && echo $f; done; echo over"
    Then its output is "over"

  Scenario Outline: In a container, code opens a terminal of its own by <what>
    Given a node with containers
    And a Python session
    When it executes "<code>"
    Then the code printed "/dev/pts/0"

    Examples:
      | what     | code                                                                                                              |
      | a module | import os, pty; print(os.ttyname(pty.openpty()[1]))                                                               |
      | script   | import subprocess as p; print(p.run(['script', '-qc', 'tty', '/dev/null'], stdin=p.DEVNULL, capture_output=True, text=True).stdout.strip()) |

  Scenario Outline: Without a container, it keeps code from <what>
    Given a node without containers
    When the dispatcher runs "<script>" beside a file of the host
    Then Landlock forbade it, where the kernel has it

    Examples:
      | what              | script                |
      | reading           | cat $BESIDE/file      |
      | writing           | echo x > $BESIDE/file |
      | making files      | echo x > $BESIDE/new  |
      | changing its help | echo x > $PINFOLD_HELP |

  Scenario: On a kernel without it, code runs, and everybody is told
    Given a kernel without Landlock
    And a node without containers
    When the dispatcher runs "echo works"
    Then its output is "works"
    And the result says that Landlock is "none: the kernel has none"
    And the node said at its start that jobs run WITHOUT ANY SANDBOX

  Scenario: On a kernel without it, whoever insists on it gets no node
    Given a kernel without Landlock
    When a node without containers is started with Landlock "hard"
    Then it ends at once, and says "LANDLOCK=hard, and what there is: none: the kernel has none"
