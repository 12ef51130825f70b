Feature: A session lives as long as it was asked to, and says why it ended

  Background:
    Given a node

  Scenario: A renewal moves its end
    Given a Python session that may live 30 seconds
    When it is renewed for 600 seconds
    Then it expires 600 seconds from now

  Scenario: No renewal goes beyond what the node allows
    Given a node whose sessions live 4 seconds at most
    And a Python session
    When it is renewed for 600 seconds again and again
    Then it ends as "lifetime" and says so to whoever asks for more

  Scenario: A renewal is activity
    Given a Python session that may idle 2 seconds
    When it is renewed again and again for 4 seconds
    And it executes "print('there')"
    Then the code printed "there"

  Scenario Outline: The end is told with its reason
    Given a Python session that may <live>
    Then it ends as "<why>" and says so to whoever asks for more

    Examples:
      | live          | why      |
      | idle 1 second | idle     |
      | live 1 second | lifetime |

  Scenario: So is the end that a caller wanted
    Given a Python session
    When it is closed
    Then it ends as "requested" and says so to whoever asks for more

  Scenario Outline: Background work counts as activity where that was asked for
    Given a Python session that may idle 2 seconds and works in the background
    When it executes "<work>"
    Then it is not idle for 5 seconds
    And it ends as "idle" and says so to whoever asks for more

    Examples:
      | work                                                                                                                                  |
      | import threading, time; end = time.time() + 5\\ndef work():\\n  while time.time() < end: pass\\nthreading.Thread(target=work).start() |
      | import subprocess; p = subprocess.Popen(['sleep', '5'])                                                                               |

  Scenario: Otherwise it does not count
    Given a Python session that may idle 2 seconds
    When it executes "import subprocess; p = subprocess.Popen(['sleep', '60'])"
    Then it ends as "idle" and says so to whoever asks for more

  Scenario: An idle session stands still until it is asked for something
    Given a node that freezes sessions after 1 second
    And a Python session
    When it executes "import threading, time; n = 0\ndef work():\n  global n\n  while True: n += 1; time.sleep(0.01)\nthreading.Thread(target=work, daemon=True).start()"
    Then it is frozen and its work stands still
    When it executes "m = n; time.sleep(0.5); print(n > m)"
    Then the code printed "True"

  Scenario: Code that takes long is not frozen
    Given a node that freezes sessions after 1 second
    And a Python session
    When it executes "import time; time.sleep(3); print('ran')"
    Then the code printed "ran"

  Scenario: A frozen session survives the death of the node
    Given a node that freezes sessions after 1 second
    And a Python session
    When it executes "x = 41"
    Then it is frozen
    When the node is killed and started again
    And it executes "print(x + 1)"
    Then the code printed "42"

  Scenario: A frozen session can be closed
    Given a node that freezes sessions after 1 second
    And a Python session
    Then it is frozen
    When it is closed
    Then no sandbox is left

  Scenario: A frozen sandbox that nobody owns is removed
    Given a node that freezes sessions after 1 second
    And a Python session
    Then it is frozen
    When the node loses its memory and is started again
    Then no sandbox is left

  Scenario: What was lost with the host is told as lost
    Given a Python session
    When it executes "x = 1"
    And the node is killed, its sandboxes too, and the node is started again
    Then it ends as "lost" and says so to whoever asks for more

  Scenario: What is lost while nobody asks is told as lost
    Given a Python session
    When its sandbox is killed
    Then it ends as "lost" and says so to whoever asks for more
