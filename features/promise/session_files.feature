Feature: Files of a session, from outside

  Background:
    Given a node

  Scenario: A file goes in and comes out
    Given a bash session
    When the caller writes "hello" to "in/a.txt"
    And it executes "cat in/a.txt > out.txt; stat -c %u in/a.txt | grep -qx $(id -u) && echo mine"
    Then the code printed "mine"
    And the file "out.txt" holds "hello"

  Scenario: A file that is there is replaced, or kept if it has to be new
    Given a bash session
    When the caller writes "one" to "a"
    And the caller writes "two" to "a"
    Then it is answered with 204
    When the caller writes "three" to "a", if nothing is there
    Then it is answered with 412
    And the file "a" holds "two"

  Scenario Outline: Ranges
    Given a bash session
    When the caller writes "0123456789" to "digits"
    And the caller reads "digits" with the range "<range>"
    Then it is answered with <status> and "<bytes>"

    Examples:
      | range      | status | bytes      |
      | bytes=2-4  | 206    | 234        |
      | bytes=7-   | 206    | 789        |
      | bytes=-2   | 206    | 89         |
      | bytes=0-99 | 206    | 0123456789 |
      | lines=1-2  | 200    | 0123456789 |

  Scenario: A range of nothing
    Given a bash session
    When the caller writes "0123456789" to "digits"
    And the caller reads "digits" with the range "bytes=10-"
    Then it is refused with 416 and the type "validation"

  Scenario: A download that nobody takes does not keep its session
    Given a node that waits 1 second for who takes nothing
    And a Python session that may idle 2 seconds
    When it executes "open('large', 'w').truncate(100 << 20)"
    And somebody asks for "large" and takes nothing of it
    Then it ends as "idle" and says so to whoever asks for more

  Scenario: Folders are listed page by page
    Given a bash session
    When it executes "mkdir d; cd d; for i in 1 2 3 4 5; do echo $i > f$i; done; ln -s f1 l; mkfifo p"
    Then the folder "d" lists "f1 f2 f3 f4 f5 l p", 3 at a time
    And the kind of "d/l" is "link"
    And the kind of "d" is "folder"

  Scenario: Folders are made, moved and deleted
    Given a bash session
    When the caller makes the folder "a/b"
    And the caller writes "x" to "a/b/c"
    And the caller moves "a" to "z"
    And the caller deletes "z"
    Then it is refused with 409 and the type "validation"
    When the caller deletes "z" with all that is in it
    Then the folder "" lists "", 3 at a time

  Scenario: A folder travels as a tar
    Given a bash session
    When the caller unpacks a tar of "x/run.sh y" into "in"
    And it executes "in/x/run.sh; rm in/y; ln -s x/run.sh in/link; ln -s /etc/passwd in/out"
    Then the code printed "ran"
    And the tar of "in" holds "link x/ x/run.sh" and leaves 1 out

  Scenario: Tars that mean harm are refused by the name of what is in them
    Given a bash session
    Then each of these tars is refused
      | entry        | kind    | target      | reason            |
      | /etc/x       | file    |             | absolute name     |
      | ../x         | file    |             | holds `..`        |
      | a/../../x    | file    |             | holds `..`        |
      | l            | link    | /etc/passwd | lead out          |
      | l            | link    | ../x        | lead out          |
      | h            | hard    | /etc/passwd | hard link         |
      | d            | device  |             | device or a pipe  |
      | p            | pipe    |             | device or a pipe  |
      | s            | sparse  |             | sparse            |

  Scenario: No link is followed
    Given a bash session
    When it executes "ln -s /etc/passwd file; ln -s / folder; ln -s /proc/self/root root"
    Then reading, writing and deleting through these is refused with 403
      | file/x          |
      | folder/etc/x    |
      | root/etc/x      |
    And reading "file" is refused with 403
    And reading "%2e%2e/etc/passwd" is refused with 400
    And reading "%2fetc/passwd" is refused with 400

  Scenario: A name that is swapped all the time never shows what is outside
    Given a bash session
    When it executes "echo plain > a; ln -s /etc/passwd b; (while :; do mv a c; mv b a; mv c b; done) >/dev/null 2>&1 &"
    Then reading "a" 300 times shows "plain" or a refusal

  Scenario: A pipe stops nobody
    Given a bash session
    When it executes "mkfifo pipe"
    Then reading "pipe" is refused with 409
    When it executes "echo alive"
    Then the code printed "alive"

  Scenario: What is too large is refused, and what does not fit told
    Given a node whose workspaces have 4194304 bytes
    And a bash session
    When the caller announces a file of 999999999 bytes
    Then it is refused with 413 and the text "workspace_bytes (4194304)"
    When it executes "head -c 3145728 /dev/zero > most"
    And the caller writes 2000000 bytes to "rest"
    Then it is refused with 507 and the text "the workspace is full"
    And the folder "" lists "most", 9 at a time

  Scenario: Changes are told as they happen
    Given a bash session
    When the caller watches "" and all beneath it
    And it executes "mkdir d; echo x > d/f; mv d/f d/g; rm d/g"
    Then these changes are told
      | created | d   |
      | created | d/f |
      | deleted | d/f |
      | created | d/g |
      | deleted | d/g |

  Scenario: A watch that is taken up again says that it may have missed something
    Given a bash session
    When the caller takes up a watch after event 7
    Then the watch tells "id: 9\nevent: overflow"

  Scenario: Files stay when the node dies
    Given a bash session
    When the caller writes "kept" to "a"
    And the node is killed and started again
    Then the file "a" holds "kept"

  Scenario: pinfold cp copies in both directions
    Given a bash session
    And a folder here with "a.txt" and "sub/b.sh"
    When a person types "pinfold cp HERE SESSION:"
    And a person types "pinfold cp SESSION:here/. BACK"
    Then both folders are the same
    When a person types "pinfold cp SESSION:here/a.txt -"
    Then the person reads "text of a.txt"

  Scenario: pinfold cp says what it can't do
    Given a bash session
    When a person types "pinfold cp SESSION:none BACK"
    Then pinfold ends with 125 and says "none is not there"
    When it executes "mkdir d; ln -s /etc/passwd d/l"
    And a person types "pinfold cp SESSION:d BACK"
    Then pinfold ends with 1 and says "1 left out"
