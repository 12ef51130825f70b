Feature: A key is in no container
  The provider's key opens the model for a job that never sees it, and neither does its sidecar.

  Scenario: A job is served with a key that is nowhere near it
    Given a node with an admin
    And a provider's server that asks for its key
    And the provider "main" on the default route
    When a job asks the model for "hello there", and goes on running
    Then the model has answered "hello there"
    And the key is in nothing that the job can read
    And the key is in nothing that Podman tells of both containers
    And the key is in the memory of no process of both containers
    And the key is in no file of the node
