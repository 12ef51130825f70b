Feature: Files go in and artifacts come out

  Background:
    Given a node

  Scenario: Inline files
    When the dispatcher runs "sh bin/hello.sh" with the file "bin/hello.sh" holding "echo from a file"
    Then its output is "from a file"

  Scenario: A tar that was uploaded
    When the dispatcher runs "cat data/a.txt" with an uploaded tar that holds "data/a.txt"
    Then the job completed

  Scenario: A tar that climbs is refused
    When the dispatcher uploads a tar that holds "../escape"
    Then it is refused with 400 and the type "validation"

  Scenario: Artifacts by folder and by glob
    When the dispatcher runs "echo a > $CYNODE_ARTIFACTS_DIR/a.txt; mkdir out; echo b > out/b.txt; echo c > c.txt" keeping "out/**"
    Then the artifacts are "a.txt out/b.txt"
    And the artifact "out/b.txt" holds "b"

  Scenario: Links are no artifacts
    When the dispatcher runs "ln -s /etc/passwd $CYNODE_ARTIFACTS_DIR/p; ln -s /proc/1/environ out" keeping "**"
    Then the artifacts are ""
