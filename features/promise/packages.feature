Feature: Packages
  A job installs packages through the gate, which fetches each once and keeps it.

  Scenario: A package of Python is installed, and again with the uplink cut
    Given a node, and registries outside
    When a job that may install from "pypi" runs pip for "cowsay"
    Then what was installed says "moo"
    And the registries have been asked
    When the uplink is cut
    And a job that may install from "pypi" runs pip for "cowsay"
    Then what was installed says "moo"

  Scenario: A package of npm is installed, and again with the uplink cut
    Given a node, and registries outside
    When a job that may install from "npm" runs npm for "cowsay"
    Then what was installed says "moo"
    When the uplink is cut
    And a job that may install from "npm" runs npm for "cowsay"
    Then what was installed says "moo"

  Scenario: A package of Debian is fetched, and again with the uplink cut
    Given a node, and an archive of Debian outside
    When a job that may install from "debian" runs apt for "cowsay"
    Then what was installed says "moo"
    When the uplink is cut
    And a job that may install from "debian" runs apt for "cowsay"
    Then what was installed says "moo"

  Scenario: A package stays over the node's death
    Given a node, and registries outside
    When a job that may install from "pypi" runs pip for "cowsay"
    And the node dies, and the uplink is cut
    And a job that may install from "pypi" runs pip for "cowsay"
    Then what was installed says "moo"
    And the audit has a line of the package with "stale"

  Scenario: A file that is not what its index says reaches nobody
    Given a node, and registries outside
    When a job that may install from "pypi" runs pip for "tampered"
    Then the install fails
    And the audit has a line of the package with "hash_mismatch"

  Scenario Outline: Nothing but packages of what was asked for is given
    Given a node, and registries outside
    When a job that may install from "pypi" asks the gate for "<request>"
    Then the gate answers it with <status> and "<reason>"
    And the registries have not been asked

    Examples:
      | request                                 | status | reason               |
      | GET /packages/npm/cowsay                | 403    | packages_not_allowed |
      | GET /packages/debian/dists/x/InRelease  | 403    | packages_not_allowed |
      | POST /packages/pypi/simple/cowsay/      | 405    | method_not_allowed   |
      | GET /packages/pypi/simple/../files/a/   | 404    | no_such_package      |
      | GET /packages/pypi/simple/cowsay/?a=b   | 404    | no_such_package      |
      | GET /packages/pypi/simple/%2e%2e%2f/    | 404    | no_such_package      |

  Scenario: A job without the preset gets no package
    Given a node, and registries outside
    When a job with egress rules alone asks the gate for "GET /packages/pypi/simple/cowsay/"
    Then the gate answers it with 403 and "packages_not_allowed"
    And the registries have not been asked

  Scenario: Registries need a way out, and a node that has them
    Given a node, and registries outside
    When a job without a network may install from "pypi"
    Then it is refused with 400 and the type "validation"
    When a job may install from a registry that the node does not have
    Then it is refused with 422 and the type "validation"

  Scenario: A package comes from the real index
    Given a node with the host's own index
    When a job that may install from "pypi" runs pip for "six"
    Then what was installed is "six"

  Scenario: A package of Debian is fetched with its signature, and unpacked
    Given a node with the host's own archive
    When a job that may install from "debian" runs apt for "hello"
    Then what was installed says "Hello, world!"
