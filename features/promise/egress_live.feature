Feature: What a sandbox may fetch changes while it runs

  Background:
    Given a node, and a server outside

  Scenario: Narrower rules cut what is open, and wider ones count at once
    Given a job that holds a tunnel to the server
    When the operator types "egress set JOB --allow other.test"
    Then its tunnel is cut, and a new one is refused with "host_not_allowed"
    When the operator types "egress set JOB --rules RULES"
    Then a new tunnel works

  Scenario: Nothing may be fetched any more
    Given a job that holds a tunnel to the server
    When the operator types "egress set JOB --nothing"
    Then its tunnel is cut, and a new one is refused with "no_rules"

  Scenario: A plain answer that does not end is broken off
    Given a job that reads an endless answer of the server
    When the operator types "egress set JOB --allow other.test"
    Then it knows that it has not the whole answer, and a new request is refused with "host_not_allowed"

  Scenario: A policy of the node's is read again
    Given the node has the policy "house" that allows the server
    And a job with the policy "house" that holds a tunnel to the server
    When the operator takes the server out of the policy "house", and types "egress reload"
    Then its tunnel is cut, and a new one is refused with "no_rules"

  Scenario: A change outlasts the node
    Given a job that holds a tunnel to the server
    When the operator types "egress set JOB --allow other.test"
    Then its tunnel is cut, and a new one is refused with "host_not_allowed"
    When the node is killed and started again
    And the operator types "egress get JOB"
    Then it prints "allowed: other.test port 443"
    When the operator types "egress set JOB --rules RULES"
    Then a new tunnel works

  Scenario: A session's rules change between two commands
    Given a session that may reach the server
    When the session asks for a tunnel to the server
    Then the gate's answer is "200"
    When the operator types "egress set SESSION --session --allow other.test"
    And the session asks for a tunnel to the server
    Then the gate's answer is "403"

  Scenario Outline: What can't be changed is refused with its reason
    Given a job that holds a tunnel to the server
    When the operator types "<line>" in vain
    Then it is told "<reason>"

    Examples:
      | line                              | reason                    |
      | egress set JOB --allow *.com      | is too wide               |
      | egress set JOB --policy no-such   | is no policy of this node |
      | egress set nobody --allow a.test  | no such job               |

  Scenario: A sandbox that was made without a way out gets none
    Given a job without network that goes on running
    When the operator types "egress set JOB --allow other.test" in vain
    Then it is told "made without a way out"
