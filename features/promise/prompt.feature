Feature: A prompt before a session

  Background:
    Given a node

  Scenario: Code is typed, over several lines where it goes on
    When somebody opens a prompt
    And they type "x = 41"
    And they type "for i in 'ab':\n    print(i * 3)\n"
    Then they see "\nbbb"
    When they type "x + 1"
    Then they see "\n42"
    When they press Ctrl-D
    Then they see "the session has ended"
    And the prompt ends with 0

  Scenario: What is typed ahead is not lost, neither code nor answers
    When somebody opens a prompt
    And they type "x = int(input('number' + '? '))\n40\ny = 2\nx + y"
    Then they see "\n42"

  Scenario: Ctrl-C interrupts the code and nothing else
    When somebody opens a prompt
    And they type "x = 41; import time; print('be' + 'gun'); time.sleep(60)"
    Then they see "begun"
    When they press Ctrl-C
    Then they see "KeyboardInterrupt"
    When they type "print(x + 1)"
    Then they see "42"

  Scenario: Code asks, and secrets are not seen and not remembered
    When somebody opens a prompt
    And they type "import getpass; print('<' + input('name' + '? ') + '>', len(getpass.getpass('word' + '? ')))"
    Then they see "name? "
    When they type "Ann"
    Then they see "word? "
    When they type "secret7"
    Then without "secret7" they see "<Ann> 7"
    And their history has "getpass" and not "secret7", for nobody else to read

  Scenario: Code does not work the terminal
    When somebody opens a prompt
    And they type "print('\x1b]0;title\x07' + 'e' + 'nd')"
    Then without "ESC]0;title" they see "␛]0;title␇end"

  Scenario: Pictures are files
    When somebody opens a prompt
    And they type "type('P', (), {'_repr_png_': lambda self: b'pixels'})()"
    Then a picture of theirs is kept as "pixels"

  Scenario Outline: Pictures are also shown where the terminal can
    When somebody opens a prompt in <terminal>
    And they type "type('P', (), {'_repr_png_': lambda self: b'pixels'})()"
    Then they see "<picture>"
    And a picture of theirs is kept as "pixels"

    Examples:
      | terminal  | picture                                           |
      | iTerm.app | ESC]1337;File=inline=1;size=6:cGl4ZWxzBEL         |
      | WezTerm   | ESC]1337;File=inline=1;size=6:cGl4ZWxzBEL         |
      | ghostty   | ESC_Ga=T,f=100,m=0;cGl4ZWxzST                   |
      | kitty     | ESC_Ga=T,f=100,m=0;cGl4ZWxzST                   |

  Scenario: Where it can't, nothing but the file is told
    When somebody opens a prompt in Apple_Terminal
    And they type "type('P', (), {'_repr_png_': lambda self: b'pixels'})()"
    Then without "cGl4ZWxz" they see "[picture: "

  Scenario: Code from a pipe
    When "print(1)\n# %%\nexit(3)\n# %%\nprint(2)" comes to it from a pipe
    Then it printed "1\n" and ended with 3

  Scenario: A shell, with the size of the person's terminal
    Given a bash session
    When somebody opens a shell in it
    And they type "stty size; x=$((6 * 7)); echo is $x"
    Then they see "33 99"
    And they see "is 42"
    When they type "exit 5"
    Then the prompt ends with 5

  Scenario: The person's terminal gets another size, and the program is told
    Given a bash session
    When somebody opens a shell in it
    And they type "sh -c 'trap "stty size" WINCH; echo re""ady; while :; do sleep 0.1; done'"
    Then they see "ready"
    When they make their terminal 20 by 70
    Then they see "20 70"

  Scenario: A shell over the death of the node
    Given a node at an address that stays
    And a bash session
    When somebody opens a shell in it
    And they type "x=$((6 * 7)); echo set $x"
    Then they see "set 42"
    When the node is killed and started again
    And they type "echo still $x"
    Then they see "still 42"
