-- Perpetual Protocol V1: the raw logs of the ClearingHouse and of the markets, which perpcomp decodes. BigQuery SQL for a table like
-- ethereum-etl's logs (topics is an array of text, and there is a block_timestamp). Replace `dataset` with your data set, export the
-- result as Parquet or CSV, and pass it to perpcomp with --input.
--
-- Parameters:
--   @clearing_house  STRING: 0x5d9593586b4b5edbd23e7eba8d88fd8f09d83ebd on Gnosis chain
--   @markets         ARRAY<STRING>: the markets' Amm addresses in lower case, as in the incident file; it may be empty
--   @start_ts        TIMESTAMP: first second of the range (before the first position opens)
--   @end_ts          TIMESTAMP: first second after the range
--
-- The query decodes nothing: no number type of a warehouse holds an int256.
SELECT
  block_number,
  block_timestamp AS block_time,
  block_hash,
  transaction_hash,
  transaction_index,
  log_index,
  address,
  topics[SAFE_OFFSET(0)] AS topic0,
  topics[SAFE_OFFSET(1)] AS topic1,
  topics[SAFE_OFFSET(2)] AS topic2,
  topics[SAFE_OFFSET(3)] AS topic3,
  data
FROM dataset.logs
WHERE block_timestamp >= @start_ts
  AND block_timestamp < @end_ts
  AND (
    (
      address = @clearing_house
      AND topics[SAFE_OFFSET(0)] IN (
        '0x4c7b764f428c13bbea8cc8da90ebe6eef4dafeb27a4e3d9041d64208c47ca7c2', -- PositionChanged
        '0x5225638a979dd133f201045ab4169ec2189874d864f2b5a10be72ac6e4b421b4', -- PositionLiquidated
        '0x1c822fe92555a7e529201522fbd166b03a55712d945737f4cc5c1e18199caa7b', -- MarginChanged
        '0xdbb898e847eca1f5626ba536593caa10241fb631e7c8a1cb06dfdce8d3934f49', -- PositionAdjusted
        '0xba70e8457921bdd49042182753cb6259c62f923e2b64216b68372cd85ec3af6c', -- PositionSettled
        '0x6f825f18b787836f7cf974799b160538ab237aa0d14af3611fa69683a40c6d22', -- LiquidationFeeRatioChanged
        '0xce738a6382894b012492e42016c4321ac69da80c4827f80a2e0907585818ac31', -- MarginRatioChanged
        '0xbc7cd75a20ee27fd9adebab32041f755214dbc6bffa90cc0225b39da2e5c2d3b' -- Upgraded
      )
    )
    -- The layouts of PositionChanged before the launch. perpcomp refuses them, because their words have other meanings.
    OR (address = @clearing_house AND SUBSTR(topics[SAFE_OFFSET(0)], 1, 10) IN ('0x279a1ed9', '0x1f3f260e', '0x3cbc78e9'))
    OR (
      address IN UNNEST(@markets)
      AND topics[SAFE_OFFSET(0)] IN (
        '0x3a3348362552c3897fd1f06a3233519ebd8bd76ad6e99a418a9741155fe90515', -- ReserveSnapshotted
        '0xae6a2b946841d9afc0e1e19a94ae4af26f01125b87b5095bbfb177a9741a2ede', -- SwapInput
        '0x0dd4066b1a6ce97fb670c3e4201e908c644193f38cbdaffd0229d7e26da3e533', -- SwapOutput
        '0xd2805fe76d30598332a67c1061cee82e2e102b0f59f5457b1729bce028a054a0', -- FundingRateUpdated
        '0xeba648fc83514e32ba75e27696ee5fa3610ebc7a77460a3ac3e8724ffa1be4cc' -- LiquidityChanged
      )
    )
  )
ORDER BY block_number, log_index
