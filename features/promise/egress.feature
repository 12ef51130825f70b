Feature: What a sandbox may fetch
  A job reaches the hosts that its rules name, through the gate, and nothing else in the world.

  Background:
    Given a node, and a server outside

  Scenario Outline: An allowed host is reached by TLS, by clients that know of no gate
    When a job that may reach the server runs <client>
    Then it reads what the server says
    And the result counts 1 allowed and 0 refused fetches

    Examples:
      | client                 |
      | curl over TLS          |
      | Python over TLS        |
      | curl over plain HTTP   |
      | Python over plain HTTP |

  Scenario: Clients that know of no proxy reach an allowed host by TLS
    Given the server outside is at the usual port of TLS, too
    When a job without proxy variables runs curl
    Then it reads what the server says
    When a job without proxy variables runs Python
    Then it reads what the server says
    And the result counts 1 allowed and 0 refused fetches
    When a job without proxy variables runs Node
    Then it reads what the server says

  Scenario Outline: For them a host that no rule has does not exist
    When a job without proxy variables asks curl for "<url>" with "<option>"
    Then curl ends with <code> at once, and the server outside has heard nothing

    Examples:
      | url                    | option                              | code |
      | https://other.test/    | -4                                  | 6    |
      | https://other.test/    | --resolve other.test:443:127.0.0.1  | 35   |
      | https://tls-only.test/ | --resolve tls-only.test:443:9.9.9.9 | 7    |
      | https://allowed.test/  | --doh-url https://9.9.9.9/dns-query | 6    |

  Scenario Outline: What no rule allows is refused at once, and told
    When a job that may reach the server asks "<request>"
    Then the gate refuses it with <status> and "<reason>"
    And the server outside has heard nothing

    Examples:
      | request                                               | status | reason             |
      | CONNECT other.test:TLS                                | 403    | host_not_allowed   |
      | CONNECT allowed.test:1                                | 403    | port_not_allowed   |
      | CONNECT ADDRESS:TLS                                   | 403    | address_not_a_rule |
      | CONNECT 127.0.0.1:TLS                                 | 403    | address_not_a_rule |
      | CONNECT localhost:TLS                                 | 403    | local_name         |
      | CONNECT inside.test:TLS                               | 403    | address_refused    |
      | CONNECT user@allowed.test:TLS                         | 400    | userinfo           |
      | GET https://allowed.test:TLS/                         | 400    | use_connect        |
      | GET http://other.test:PLAIN/                          | 403    | host_not_allowed   |
      | GET http://allowed.test:1/                            | 403    | port_not_allowed   |
      | GET http://public.test/                               | 403    | plain_to_public    |
      | GET http://tls-only.test:443/                         | 403    | plain_not_allowed  |

  Scenario Outline: A tunnel holds TLS to the host that it was asked for
    When a job opens a tunnel to the server and sends <what>
    Then the tunnel is closed at once
    And the server outside has heard nothing

    Examples:
      | what                      |
      | a hello to another name   |
      | a hello without a name    |
      | what is no TLS            |

  Scenario: A second request on the same connection is judged like the first
    When a job sends two requests in one piece, the second to another host
    Then the answers are 200 and 403
    And the server outside has heard 1 request

  Scenario: The request is made anew for the server
    When a job sends a plain request with headers that end at a proxy
    Then the server has the canonical host and a "via" header
    And none of "x-nominated, proxy-authorization, proxy-connection, keep-alive" has reached it

  Scenario: A host header that disagrees is refused
    When a job sends a plain request whose host is another
    Then the gate refuses it with 400 and "host_mismatch"
    And the server outside has heard nothing

  Scenario: An address is a host by a rule for this very address
    When a job whose rule is the server's address runs curl to it
    Then it reads what the server says
    And the result counts 1 allowed and 0 refused fetches

  Scenario: Each fetch leaves a line in the audit
    When a job that may reach the server runs curl over plain HTTP
    Then the audit has a line of this job with "allow", the target and the address
    When a job that may reach the server asks "CONNECT other.test:TLS"
    Then the audit has a line of this job with "deny" and "host_not_allowed"

  Scenario Outline: Nothing goes past the gate, whatever the policy
    When a job with <policy> tries a raw socket, a direct connection and names of its own
    Then all of them fail at once

    Examples:
      | policy                  |
      | no network              |
      | restricted and no rules |
      | restricted and rules    |

  Scenario: A job moves no more bytes than the node lets it
    Given the node lets a job receive 4000 bytes
    When a job fetches from the server until it is refused
    Then its last answer is 403 and "bytes_in_spent"

  Scenario: Rules of the node's own are used by name
    Given the node has the policy "house" that allows the server
    When a job with the policy "house" runs curl over TLS
    Then it reads what the server says

  Scenario: Rules that can't be are refused with their fields
    When a job has the rule "*.com"
    Then it is refused with 400 and the type "validation"
    When a job has rules and no network
    Then it is refused with 400 and the type "validation"
    When a job with the policy "no-such" runs curl over TLS
    Then it is refused with 422 and the type "validation"
