Feature: A node tells whether it lives and whether it is ready

  Background:
    Given a node

  Scenario: It lives
    When anybody asks for "/healthz" without a token
    Then the answer is 200 with the text "ok"

  Scenario: It is ready
    When anybody asks for "/readyz" without a token
    Then the answer is 200 with the text "ready"

  Scenario: Everything else needs the token
    When anybody asks for "/v1/worker/jobs" without a token
    Then it is refused as unauthenticated

  Scenario: A wrong token is no token
    When anybody asks for "/v1/worker/jobs" with the token "wrong"
    Then it is refused as unauthenticated

  Scenario: Its numbers can be scraped
    Given a job that ran "true"
    When the dispatcher asks for "/metrics"
    Then the answer contains "pinfold_jobs_total"
