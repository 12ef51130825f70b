Feature: Templates of sessions
  An operator says once what sessions have in them. The node makes them ready ahead, each in its own
  sandbox, and who opens one finds everything there.

  Scenario: A session has what its template says, and nobody waits for an install
    Given a node with an admin whose sessions can install, and registries outside
    When the operator types "template put data --library cowsay --file FILE:notes.txt --env WHO=me --wait"
    Then it prints "status:    ready"
    When the uplink is cut
    And a session is opened from the template "data"
    Then it is open as soon as any that waited, from the pool
    When it executes "import cowsay, os; print(cowsay.WORD, open('notes.txt').read(), os.environ['WHO'])"
    Then the code printed "moo kept me"

  Scenario: What was taken is made anew, and nothing is used twice
    Given a node with an admin whose sessions can install, and registries outside
    And the template "data" with the library "cowsay", of which 2 wait
    When a session is opened from the template "data"
    And it executes "open('mine', 'w').write('mine')"
    And again 2 of the template "data" wait
    And a session is opened from the template "data"
    And it executes "import cowsay, os; print(cowsay.WORD, os.path.exists('mine'))"
    Then the code printed "moo False"

  Scenario: Nobody gets what a template was before
    Given a node with an admin whose sessions can install, and registries outside
    And the template "data" with the library "cowsay", of which 2 wait
    When the operator types "template put data --library mooing --min 1"
    And a session is opened from the template "data"
    And it executes "import importlib.util as u; print(u.find_spec('cowsay'), u.find_spec('mooing') is not None)"
    Then the code printed "None True"
    And the sandboxes of before are gone

  Scenario: The registry is out of reach once it is ready
    Given a node with an admin whose sessions can install, and registries outside
    And the template "data" with the library "cowsay", of which 1 wait
    When a session is opened from the template "data"
    And it asks the gate for a page of packages
    Then the code printed "403"
    When with the library "mooing" it executes "import cowsay, mooing; print(mooing.WORD)"
    Then the code printed "moo"

  Scenario: A template that can't be built says why, and is in nobody's way
    Given a node with an admin whose sessions can install, and registries outside
    When the operator types "template put broken --library nosuch --wait" in vain
    Then it prints "No matching distribution found for nosuch"
    When a session is opened from the template "broken"
    Then it is refused with 422 and the type "validation"
    When the operator types "template put good --library cowsay --wait"
    Then it prints "status:    ready"

  Scenario: None has to wait, and code may come without a session
    Given a node with an admin whose sessions can install, and registries outside
    When the operator types "template put js --lang javascript --library cowsay --min 0 --wait"
    Then it prints "status:    ready"
    When "console.log(require('cowsay'))" is executed once, from the template "js"
    Then the code printed "moo"
    When a python session is opened from the template "js"
    Then it is refused with 422 and the type "validation"

  Scenario: A deleted template is gone, and its sessions stay
    Given a node with an admin whose sessions can install, and registries outside
    And the template "data" with the library "cowsay", of which 1 wait
    When a session is opened from the template "data"
    And the operator types "template delete data"
    And it executes "import cowsay; print(cowsay.WORD)"
    Then the code printed "moo"
    And no sandbox of a template waits
    When a session is opened from the template "data"
    Then it is refused with 422 and the type "validation"

  Scenario: Templates outlast the node, and so do their sessions
    Given a node with an admin whose sessions can install, and registries outside
    And the template "data" with the library "cowsay", of which 1 wait
    When a session is opened from the template "data"
    And the node is killed and started again
    And it executes "import cowsay; print(cowsay.WORD)"
    Then the code printed "moo"
    And again 1 of the template "data" wait

  Scenario: Who runs jobs does not put templates
    Given a node without sandboxes, with an admin
    When the dispatcher asks for "/v1/templates"
    Then it is refused with 403 and the type "authorization"
    When the dispatcher puts the template "data"
    Then it is refused with 403 and the type "authorization"
