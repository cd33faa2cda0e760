-- Perpetual Protocol V1: every event of the ClearingHouse, one row for each log. DuneSQL (Trino), table gnosis.logs.
-- Export the result as CSV and pass it to perpcomp with --input.
--
-- Parameters:
--   clearing_house  text: 0x5d9593586b4b5edbd23e7eba8d88fd8f09d83ebd on Gnosis chain
--   start_ts        text: first second of the range, UTC, such as 2020-12-01 00:00:00 (before the first position opens)
--   end_ts          text: first second after the range, UTC
--
-- Amounts are whole base units (1e-18) as text, because a number would lose its last digits. A column that an event does not have is
-- null. data_bytes is the length of the log's data: perpcomp finds truncated logs by it.
WITH logs AS (
  SELECT
    CASE
      WHEN topic0 = 0x4c7b764f428c13bbea8cc8da90ebe6eef4dafeb27a4e3d9041d64208c47ca7c2 THEN 'PositionChanged'
      WHEN topic0 = 0x5225638a979dd133f201045ab4169ec2189874d864f2b5a10be72ac6e4b421b4 THEN 'PositionLiquidated'
      WHEN topic0 = 0x1c822fe92555a7e529201522fbd166b03a55712d945737f4cc5c1e18199caa7b THEN 'MarginChanged'
      WHEN topic0 = 0xdbb898e847eca1f5626ba536593caa10241fb631e7c8a1cb06dfdce8d3934f49 THEN 'PositionAdjusted'
      WHEN topic0 = 0xba70e8457921bdd49042182753cb6259c62f923e2b64216b68372cd85ec3af6c THEN 'PositionSettled'
      WHEN topic0 = 0x6f825f18b787836f7cf974799b160538ab237aa0d14af3611fa69683a40c6d22 THEN 'LiquidationFeeRatioChanged'
      WHEN topic0 = 0xce738a6382894b012492e42016c4321ac69da80c4827f80a2e0907585818ac31 THEN 'MarginRatioChanged'
      WHEN topic0 = 0xbc7cd75a20ee27fd9adebab32041f755214dbc6bffa90cc0225b39da2e5c2d3b THEN 'Upgraded'
      -- The layouts of PositionChanged before the launch. perpcomp refuses them, because their words have other meanings.
      WHEN varbinary_substring(topic0, 1, 4) IN (0x279a1ed9, 0x1f3f260e, 0x3cbc78e9) THEN 'OlderLayout'
    END AS event,
    block_number, block_time, block_hash, tx_hash, tx_index, "index" AS log_index, topic1, topic2, data
  FROM gnosis.logs
  WHERE contract_address = {{clearing_house}}
    AND block_time >= TIMESTAMP '{{start_ts}}'
    AND block_time < TIMESTAMP '{{end_ts}}'
)
SELECT
  event,
  block_number,
  CAST(to_unixtime(block_time) AS bigint) AS block_time,
  '0x' || lower(to_hex(block_hash)) AS block_hash,
  '0x' || lower(to_hex(tx_hash)) AS transaction_hash,
  tx_index AS transaction_index,
  log_index,
  length(data) AS data_bytes,
  '0x' || lower(to_hex(varbinary_substring(CASE
    WHEN event IN ('PositionChanged', 'PositionLiquidated', 'MarginChanged') THEN topic1
    WHEN event IN ('PositionAdjusted', 'PositionSettled') THEN topic2
  END, 13, 20))) AS trader,
  '0x' || lower(to_hex(varbinary_substring(CASE
    WHEN event IN ('PositionChanged', 'PositionLiquidated', 'MarginChanged') THEN topic2
    WHEN event IN ('PositionAdjusted', 'PositionSettled') THEN topic1
  END, 13, 20))) AS market,
  CASE WHEN event = 'PositionChanged' THEN CAST(varbinary_to_uint256(varbinary_substring(data, 1, 32)) AS varchar) END AS margin,
  CASE
    WHEN event = 'PositionChanged' THEN CAST(varbinary_to_uint256(varbinary_substring(data, 33, 32)) AS varchar)
    WHEN event = 'PositionLiquidated' THEN CAST(varbinary_to_uint256(varbinary_substring(data, 1, 32)) AS varchar)
  END AS position_notional,
  CASE WHEN event = 'PositionChanged' THEN CAST(varbinary_to_int256(varbinary_substring(data, 65, 32)) AS varchar) END AS exchanged_position_size,
  CASE WHEN event = 'PositionChanged' THEN CAST(varbinary_to_uint256(varbinary_substring(data, 97, 32)) AS varchar) END AS fee,
  CASE WHEN event = 'PositionChanged' THEN CAST(varbinary_to_int256(varbinary_substring(data, 129, 32)) AS varchar) END AS position_size_after,
  CASE WHEN event = 'PositionChanged' THEN CAST(varbinary_to_int256(varbinary_substring(data, 161, 32)) AS varchar) END AS realized_pnl,
  CASE WHEN event = 'PositionChanged' THEN CAST(varbinary_to_int256(varbinary_substring(data, 193, 32)) AS varchar) END AS unrealized_pnl_after,
  CASE WHEN event = 'PositionChanged' THEN CAST(varbinary_to_uint256(varbinary_substring(data, 225, 32)) AS varchar) END AS bad_debt,
  CASE WHEN event = 'PositionChanged' THEN CAST(varbinary_to_uint256(varbinary_substring(data, 257, 32)) AS varchar) END AS liquidation_penalty,
  CASE WHEN event = 'PositionChanged' THEN CAST(varbinary_to_uint256(varbinary_substring(data, 289, 32)) AS varchar) END AS spot_price,
  CASE
    WHEN event = 'PositionChanged' THEN CAST(varbinary_to_int256(varbinary_substring(data, 321, 32)) AS varchar)
    WHEN event = 'MarginChanged' THEN CAST(varbinary_to_int256(varbinary_substring(data, 33, 32)) AS varchar)
  END AS funding_payment,
  CASE WHEN event = 'PositionLiquidated' THEN CAST(varbinary_to_uint256(varbinary_substring(data, 33, 32)) AS varchar) END AS position_size,
  CASE WHEN event = 'PositionLiquidated' THEN CAST(varbinary_to_uint256(varbinary_substring(data, 65, 32)) AS varchar) END AS liquidation_fee,
  CASE WHEN event = 'PositionLiquidated' THEN '0x' || lower(to_hex(varbinary_substring(data, 109, 20))) END AS liquidator,
  CASE WHEN event = 'PositionLiquidated' THEN CAST(varbinary_to_uint256(varbinary_substring(data, 129, 32)) AS varchar) END AS fee_shortfall,
  CASE WHEN event = 'MarginChanged' THEN CAST(varbinary_to_int256(varbinary_substring(data, 1, 32)) AS varchar) END AS amount,
  CASE WHEN event = 'PositionAdjusted' THEN CAST(varbinary_to_int256(varbinary_substring(data, 1, 32)) AS varchar) END AS new_position_size,
  CASE WHEN event = 'PositionAdjusted' THEN CAST(varbinary_to_uint256(varbinary_substring(data, 33, 32)) AS varchar) END AS old_liquidity_index,
  CASE WHEN event = 'PositionAdjusted' THEN CAST(varbinary_to_uint256(varbinary_substring(data, 65, 32)) AS varchar) END AS new_liquidity_index,
  CASE WHEN event = 'PositionSettled' THEN CAST(varbinary_to_uint256(varbinary_substring(data, 1, 32)) AS varchar) END AS value_transferred,
  CASE WHEN event = 'LiquidationFeeRatioChanged' THEN CAST(varbinary_to_uint256(varbinary_substring(data, 1, 32)) AS varchar) END AS liquidation_fee_ratio,
  CASE WHEN event = 'MarginRatioChanged' THEN CAST(varbinary_to_uint256(varbinary_substring(data, 1, 32)) AS varchar) END AS margin_ratio,
  CASE WHEN event = 'Upgraded' THEN '0x' || lower(to_hex(varbinary_substring(topic1, 13, 20))) END AS implementation
FROM logs
WHERE event IS NOT NULL
ORDER BY block_number, log_index
