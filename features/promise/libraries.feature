Feature: Libraries of sessions
  Code asks for libraries, and they are there when it runs: installed in its own sandbox, which can
  reach their registry for just as long.

  Scenario Outline: A session is opened with a library
    Given a node whose sessions can install, and registries outside
    When a <language> session is opened with the library "cowsay"
    Then it is open
    When it executes "<code>"
    Then the code printed "moo"

    Examples:
      | language   | code                            |
      | python     | import cowsay; print(cowsay.WORD) |
      | javascript | console.log(require('cowsay'))  |

  Scenario: The registry is out of reach for the code
    Given a node whose sessions can install, and registries outside
    When a python session is opened with the library "cowsay"
    And it asks the gate for a page of packages
    Then the code printed "403"

  Scenario: A session takes more libraries later
    Given a node whose sessions can install, and registries outside
    When a python session is opened with the library "cowsay"
    And it executes "import importlib.util as u; print(u.find_spec('mooing'))"
    Then the code printed "None"
    When with the library "mooing" it executes "import mooing; print(mooing.WORD)"
    Then the code printed "moo"

  Scenario: Code without a session has its libraries, too
    Given a node whose sessions can install, and registries outside
    When "import cowsay; print(cowsay.WORD)" is executed with the library "cowsay" and without a session
    Then the code printed "moo"

  @serial
  Scenario Outline: The second session with the same libraries is open sooner, and asks nobody
    Given a node that keeps sandboxes for <language> sessions that install, and registries outside
    When a <language> session is opened with the library "cowsay"
    And the uplink is cut
    And a <language> session is opened with the library "cowsay" again
    Then it is open within a second
    When it executes "<code>"
    Then the code printed "moo"

    Examples:
      | language   | code                            |
      | python     | import cowsay; print(cowsay.WORD) |
      | javascript | console.log(require('cowsay'))  |

  Scenario: What a package runs when it is installed runs each time
    Given a node whose sessions can install, and registries outside
    When a javascript session is opened with the library "growling"
    And a javascript session is opened with the library "growling" again
    And it executes "console.log(require('growling'))"
    Then the code printed "grr"

  Scenario: A library that can't be had is told in its client's words
    Given a node whose sessions can install, and registries outside
    When a python session is opened with the library "nosuch"
    Then it is refused with 422 and the type "validation"
    And the refusal tells "No matching distribution found for nosuch"
    When a python session is opened with the library "cowsay"
    And with the library "nosuch" it executes "print('ran')"
    Then the code failed with 1, and "No matching distribution" on its standard error

  Scenario Outline: What is more than a name is refused
    Given a node whose sessions can install, and registries outside
    When a python session is opened with the library "<library>"
    Then it is refused with 400 and the type "validation"
    And the registries have not been asked

    Examples:
      | library                              |
      | --index-url=https://evil.example     |
      | git+https://evil.example/a           |
      | ./setup.py                           |
      | cowsay @ https://evil.example/a.whl  |
