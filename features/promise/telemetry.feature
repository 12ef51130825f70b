Feature: The node tells about itself

  Background:
    Given a node

  Scenario: What it is
    When the dispatcher asks for "/v1/worker/telemetry/node:info"
    Then the answer has "node_slug"

  Scenario: How it fares
    When the dispatcher asks for "/v1/worker/telemetry/node:stats"
    Then the answer has "captured_at"

  Scenario: Its containers, by job
    When the dispatcher submits "echo begun; sleep 60"
    Then its container is in the telemetry while it runs

  Scenario: Its log, which holds no secret
    Given a job that ran "echo $SECRET" with the variable SECRET "s3cr3t-value"
    When the dispatcher asks for "/v1/worker/telemetry/logs?source_kind=service&source_name=worker-api"
    Then the answer contains "job ended"
    And the answer does not contain "s3cr3t-value"
