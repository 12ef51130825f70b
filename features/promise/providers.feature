Feature: An operator says where inference goes, and keys stay on the node

  Background:
    Given a node without sandboxes, with an admin
    And a provider's server that asks for its key

  Scenario: From a key in the environment to a route
    When the operator types "provider create --name nvidia-build --type nvidia --from-existing"
    Then it says that it read "NVIDIA_API_KEY"
    When the operator types "inference set --provider nvidia-build --model dev-8b"
    And the operator types "inference update --model dev-70b"
    And the operator types "inference get"
    Then it prints the provider "nvidia-build", the model "dev-70b" and the version 2

  Scenario: The configuration survives a crash
    Given the provider "main" on the default route
    When the node is killed and started again
    And the operator types "provider test main --model dev-8b"
    Then it prints "ok: main answered 200"

  Scenario: A wrong key is found out before it is saved
    When the operator types "provider create --name main --type nvidia --base-url SERVER --credential-env WRONG_KEY" in vain
    Then it is told "refused the key"
    When the operator types "provider list"
    Then it does not print "main"

  Scenario: A wrong model is found out before it is saved
    Given the provider "main" on the default route
    When the operator types "inference update --model no-such-model" in vain
    Then it is told "refused the model"
    When the operator types "inference get"
    Then it prints the provider "main", the model "dev-8b" and the version 1

  Scenario: A corrected key counts from then on
    When the operator types "provider create --name main --type nvidia --base-url SERVER --credential-env WRONG_KEY --no-validate"
    And the operator types "provider test main" in vain
    And the operator types "provider update main --credential-env NVIDIA_API_KEY"
    And the operator types "provider test main"
    Then it prints "ok: main answered 200"

  Scenario: A provider that is used is not deleted by mistake
    Given the provider "main" on the default route
    When the operator types "provider delete main" in vain
    Then it is told "used by the route default"
    When the operator types "provider delete main --force"
    And the operator types "inference get"
    Then it prints "main (dev-8b) was deleted"

  Scenario: Who runs jobs does not configure providers
    When the dispatcher asks for "/v1/providers"
    Then it is refused with 403 and the type "authorization"

  Scenario: A key is in no file of the node, and nothing prints it
    Given the provider "main" on the default route
    When the operator types "provider get main --json"
    Then the key is in nothing that was printed
    And the key is in no file of the node
