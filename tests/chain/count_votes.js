// Reads [{"options": n, "votes": {type: [{"choice", "balance", "scores"}]}}] and prints [{type: scores}], counted by Snapshot itself.
const { utils } = require("@snapshot-labs/snapshot.js");
let text = "";
process.stdin.on("data", (part) => (text += part));
process.stdin.on("end", () => {
  const counted = JSON.parse(text).map(({ options, votes }) => {
    const choices = Array.from({ length: options }, (_, n) => `option ${n + 1}`);
    return Object.fromEntries(
      Object.entries(votes).map(([type, cast]) => [type, new utils.voting[type]({ choices }, cast, [], []).getScores()]),
    );
  });
  console.log(JSON.stringify(counted));
});
