Feature: Sandboxes wait for jobs

  Background:
    Given a node that keeps 2 sandboxes waiting

  Scenario: A job is served from the pool, and the pool is filled again
    When the dispatcher runs "echo hello"
    Then its output is "hello"
    And it was served from the pool
    And 2 sandboxes wait and no other is there
    And as many of those that waited are gone as were used

  Scenario: More jobs than sandboxes
    When the dispatcher runs 6 jobs at once that each print their own id 1 times
    Then each output holds its own id and no other
    And some were served from the pool and others were not
    And 2 sandboxes wait and no other is there
    And as many of those that waited are gone as were used

  Scenario: Another shape is never served
    When the dispatcher runs "true" with 64 MiB of memory and 20 processes
    Then it was not served from the pool
    And the limits of the result are 64 MiB of memory and 20 processes
    And the waiting sandboxes are the same as before

  Scenario: Nothing of one task is there for the next
    When the dispatcher runs "echo secret | tee /workspace/file /tmp/file /dev/shm/file; (setsid sleep 1000 &)"
    And runs "find /workspace /tmp /dev/shm /run/pinfold/job -type f; ps -o comm | grep sleep; echo over"
    Then both were served from the pool
    And its output is "over"

  Scenario: A waiting sandbox that dies is not served
    When the waiting sandboxes are killed
    And the dispatcher runs "echo hello"
    Then its output is "hello"
    And 2 sandboxes wait and no other is there

  Scenario: The node dies with a full pool
    When the node is killed and started again
    Then the sandboxes that waited before are gone
    And 2 sandboxes wait and no other is there

  Scenario: The image is updated
    Given the node keeps sandboxes of an image without Python waiting
    When the image is replaced by one with Python
    Then the sandboxes that waited before are gone
    And a job of that image runs Python, from the pool

  Scenario: A configured first command is run while waiting, and its failure is no job's
    Given the node's sandboxes have the first command "false"
    When the dispatcher runs "echo hello"
    Then its output is "hello"
    And it was not served from the pool
    And the pool's page tells of a failure
