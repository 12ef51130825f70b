Feature: Code in a session keeps its state

  Background:
    Given a node

  Scenario: Names stay from one piece of code to the next
    Given a Python session
    When it executes "import math, os; os.mkdir('d'); os.chdir('d'); f = open('kept', 'w+')"
    And it executes "f.write('in a file'); f.seek(0); print(math.floor(2.5), f.read(), os.getcwd())"
    Then the code printed "2 in a file /workspace/d"

  Scenario: The answer is plain unless more is asked for
    Given a Python session
    When it executes "print('out'); 6 * 7"
    Then the answer is exactly "out\n", nothing and 0

  Scenario: An error is told as the interpreter tells it
    Given a Python session
    When it executes "nope"
    Then the code failed with 1 and "NameError: name 'nope' is not defined"
    And nothing of ours is in its traceback

  Scenario: Rich results are asked for
    Given a Python session
    When it executes "class T:\n  def _repr_html_(self): return '<b>t</b>'\ndisplay(T())\n6 * 7" with rich results
    Then it shows "text/html" as "<b>t</b>"
    And it shows "text/plain" as "42"

  Scenario: Numbers, tables and figures
    Given a session of Python for data
    When it executes "import numpy as np; print(np.mean([1, 2, 3, 4, 5]))"
    Then the code printed "3.0"
    When it executes "import pandas as pd, matplotlib.pyplot as plt; plt.plot([1, 2]); pd.DataFrame({'a': [1]})" with rich results
    Then it shows "image/png", "text/html" and "application/vnd.pinfold.table+json"

  Scenario: JavaScript keeps its state, over an interrupt too
    Given a JavaScript session
    When it executes "const a = [1, 2]"
    And it executes "while (true);" for at most 1 second
    Then the code ended as "timeout" with 124
    When it executes "const a2 = await Promise.resolve(a.length); console.log(a2)"
    Then the code printed "2"

  Scenario: TypeScript keeps its state, and its types are no hindrance
    Given a session of "typescript"
    When it executes "enum Colour { Red = 1, Green }\ninterface Point { x: number; y: number }\nconst p: Point = { x: 40, y: 2 }"
    And it executes "const sum = <T extends Point>(q: T): number => q.x + q.y; class Pair { constructor(readonly both: number) {} }"
    And it executes "console.log(new Pair(await Promise.resolve(sum(p))).both, Colour[2], (p as Point)!.y)"
    Then the code printed "42 Green 2"
    When it executes "const bad: = 1"
    Then the code failed with 1 and the word "SyntaxError"

  Scenario: An image that can do no TypeScript says so
    Given a node whose Node.js is too old for types
    And a session of "typescript"
    When it executes "const n: number = 1"
    Then the code failed with 1 and the word "TypeScript needs Node.js 22.13 or later"

  Scenario: Code without a session
    When "print(6 * 7)" is executed without a session
    Then the code printed "42"
    And no sandbox is left

  Scenario: A loop without end is interrupted and the variables are still there
    Given a Python session
    When it executes "x = 41"
    And it executes "while True: pass" for at most 1 second
    Then the code ended as "timeout" with 124
    When it executes "print(x + 1)"
    Then the code printed "42"

  Scenario: An interrupt from outside
    Given a Python session
    When it executes "import time; x = 7; print('begun', flush=True); time.sleep(60)" and is interrupted
    Then the code ended as "canceled" with 130
    When it executes "print(x)"
    Then the code printed "7"

  Scenario: What can't be interrupted takes its interpreter with it, and says so
    Given a Python session
    When it executes "import signal; signal.signal(2, signal.SIG_IGN); x = 1"
    And it executes "while True: pass" for at most 1 second
    Then the code ended as "timeout" with 124
    And its interpreter is told to have died
    When it executes "print('x' in globals())"
    Then the code printed "False"

  Scenario Outline: A killed interpreter is never a success
    Given a Python session
    When it executes "<code>"
    Then the code ended as "failed" with <exit>
    And its interpreter is told to have died
    When it executes "print('again')"
    Then the code printed "again"
    And its interpreter is told to be fresh

    Examples:
      | code                                                           | exit |
      | import os; os._exit(0)                                         | 1    |
      | import os; os._exit(3)                                         | 3    |
      | import os; os.kill(os.getpid(), 9)                             | 137  |
      | import os, time; os.write(201, bytes([65, 10])); time.sleep(9) | 1    |
      | x = bytearray(2 << 30)                                         | 137  |

  Scenario Outline: Too much output is bounded and flagged
    Given a Python session
    When it executes "<code>"
    Then 262144 bytes of what it printed were kept and it is marked as cut
    When it executes "print('alive')"
    Then the code printed "alive"

    Examples:
      | code                                                           |
      | print('x' * 1000000)                                           |
      | import sys; sys.stdout.buffer.write(b'\\xff' * 1000000) and None |
      | while True: print('x' * 1000)                                  |

  Scenario: Bash keeps its state, over an interrupt too
    Given a bash session
    When it executes "x=kept; f() { echo $x; }; cd /tmp"
    And it executes "while :; do :; done" for at most 1 second
    And it executes "f; pwd; exit 3"
    Then the code failed with 3 and ""
    When it executes "f"
    Then the code printed "kept"

  Scenario: Two interpreters in one session know nothing of each other
    Given a Python session
    When it executes "x = 1"
    And the context "other" executes "print('x' in globals())"
    Then the code printed "False"
    When it executes "print(x)"
    Then the code printed "1"

  Scenario: A restart forgets
    Given a Python session
    When it executes "x = 1"
    And its interpreter is restarted
    And it executes "print('x' in globals())"
    Then the code printed "False"

  Scenario: Output streams while the code runs, and the stream can be taken up
    Given a Python session
    When it executes "import time; print('one'); time.sleep(0.3); print('two')" as a stream
    Then the stream tells "one" before "two", and its end
    And taken up after the first event it tells "two" only

  Scenario Outline: Code is given its standard input at once
    Given a <language> session
    When given the input "one\ntwo\n" it executes "<code>"
    Then the code printed "one two"
    When it executes "<again>"
    Then the code printed "nothing"

    Examples:
      | language   | code                                                                    | again                                                                        |
      | Python     | print(input(), input())                                                 | import sys; print(sys.stdin.read() or 'nothing')                             |
      | bash       | read -r a; read -r b; echo $a $b                                        | read -r a \|\| echo nothing                                                  |
      | JavaScript | console.log(require('fs').readFileSync(0).toString().trim().split(/[^a-z]/).join(' ')) | console.log(require('fs').readFileSync(0).toString() \|\| 'nothing')         |

  Scenario: Code without standard input reads its end
    Given a Python session
    When it executes "input()"
    Then the code failed with 1 and "EOFError: EOF when reading a line"

  Scenario: Code asks while it runs, and is answered
    Given a Python session
    When it begins "print('begun', flush=True); import getpass; a = input('name? '); print(a, getpass.getpass('word? '), input() or 'nothing')" as "q1" and may ask
    And it asks "name? " and is answered "Ann"
    And it asks "word? " and is answered "secret"
    And it is answered ""
    Then the result of "q1" is "begun\nAnn secret nothing\n"
    And an answer that comes later is refused with 409

  Scenario: Code that waits for an answer is interrupted
    Given a Python session
    When it begins "x = 7; print('begun', flush=True); input('name? ')" as "q2" and may ask
    And it is interrupted while it asks "name? "
    Then the code ended as "canceled" with 130
    And nothing of ours is in its traceback
    When it executes "print(x)"
    Then the code printed "7"

  Scenario: Code that waits for an answer waits over the death of the node
    Given a Python session
    When it begins "print('begun', flush=True); print(input('name? '), input())" as "q3" and may ask
    And it is answered "Ann"
    And the node is killed and started again
    And it is answered "Bob"
    Then the result of "q3" is "begun\nAnn Bob\n"

  Scenario: The death of the node in the middle of code
    Given a Python session
    When it begins "import time; x = 5; print('begun', flush=True); time.sleep(2); print('ended')" as "c1"
    And the node is killed and started again
    Then the result of "c1" is "begun\nended\n"
    When it executes "print(x)"
    Then the code printed "5"

  Scenario: Sessions are strangers to each other
    Given 50 Python sessions at once that each keep a secret
    Then each finds its own secret, and nothing of the others

  Scenario: A session that was closed is gone
    Given a Python session
    When it is closed
    And it executes "print(1)"
    Then it is refused with 410 and the type "not_found"

  Scenario: Without a token only where it was asked for
    When a caller without a token opens a session
    Then it is refused with 401 and the type "authentication"

  Scenario: Without a token for programs on this host, if the operator wants so
    Given a node that lets local programs use sessions without a token
    When a caller without a token opens a session
    Then it is open
    And a page in a browser that tries the same is refused

  Scenario: An interpreter waits for its session
    Given a node that keeps 1 sandbox with a running Python
    And a Python session
    When it executes "import os; print(len(os.environ['CYNODE_SESSION_ID']))"
    Then the code printed "32"
    And the session took a sandbox that waited

  Scenario: What can't be given is refused
    Given a Python session
    When it executes code with the library "numpy"
    Then it is refused with 422 and the type "validation"
