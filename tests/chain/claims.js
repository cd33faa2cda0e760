// What the JavaScript libraries that claim contracts and apps are used with make of a list: one request on stdin, one answer on stdout.
const fs = require("fs");
const { StandardMerkleTree } = require("@openzeppelin/merkle-tree");
const { MerkleTree } = require("merkletreejs");
const { utils, Wallet } = require("ethers");
const csv = require("@fast-csv/parse");

const packed = (types, values) => utils.solidityKeccak256(types, values);
const layered = (leaves, sortLeaves) => new MerkleTree(leaves, utils.keccak256, { sortLeaves, sortPairs: true });
const answerOf = (tree, leaves) => ({ root: tree.getHexRoot(), proofs: leaves.map((leaf) => tree.getHexProof(leaf)) });
const standard = (values, types) => {
  const tree = StandardMerkleTree.of(values, types);
  return { root: tree.root, dump: tree.dump() };
};
const POOL = "tuple(address token, uint256 amount)[]";

const trees = {
  "perp-redeem": (rows) => {
    const leaves = rows.map(({ account, amount }) => packed(["address", "uint256"], [account, amount]));
    return answerOf(layered(leaves, true), leaves);
  },
  uniswap: (rows) => {
    const ordered = rows.map((row) => ({ ...row, account: utils.getAddress(row.account) })).sort((a, b) => (a.account < b.account ? -1 : 1));
    const leaves = ordered.map(({ account, amount }, index) => packed(["uint256", "address", "uint256"], [index, account, amount]));
    return answerOf(layered(leaves, true), leaves);
  },
  "oz-standard": (rows) => standard(rows.map((r) => [utils.getAddress(r.account), r.amount]), ["address", "uint256"]),
  sablier: (rows) => standard(rows.map((r, n) => [String(n), utils.getAddress(r.account), r.amount]), ["uint", "address", "uint256"]),
  cumulative: (rows) => {
    const values = rows.map((r) => [utils.getAddress(r.account), utils.getAddress(r.token), r.amount]);
    return standard(values, ["address", "address", "uint256"]);
  },
  "multi-token": (rows) => {
    const preimages = rows.map((r, n) => utils.defaultAbiCoder.encode(["uint256", "address", POOL], [n, r.account, [[r.token, r.amount]]]));
    const leaves = preimages.sort().map((preimage) => utils.keccak256(preimage));
    return answerOf(layered(leaves, false), leaves);
  },
};

// disperse.app takes what matches this expression and passes over the rest without a word.
const disperse = (text, decimals) =>
  [...text.matchAll(/(0x[0-9a-fA-F]{40})[,\s=:;]+([0-9]+(?:\.[0-9]+)?)/g)].map((m) => [m[1], utils.parseUnits(m[2], decimals).toString()]);

// The Transaction Builder's checksum: of the batch without it and without a name.
const serialize = (json) => {
  if (Array.isArray(json)) return `[${json.map(serialize).join(",")}]`;
  if (typeof json !== "object" || json === null) return JSON.stringify(json === undefined ? null : json);
  const keys = Object.keys(json).sort();
  return `{${JSON.stringify(keys)}${keys.map((key) => `${serialize(json[key])},`).join("")}}`;
};
const checksum = (batch) => {
  const { checksum: _, ...meta } = batch.meta;
  return utils.keccak256(utils.toUtf8Bytes(serialize({ ...batch, meta: { ...meta, name: null } })));
};

const parseCsv = (text) =>
  new Promise((resolve, reject) => {
    const rows = [];
    csv.parseString(text, { headers: true }).on("data", (row) => rows.push(row)).on("end", () => resolve(rows)).on("error", reject);
  });

const verbs = {
  tree: ({ dialect, rows }) => trees[dialect](rows),
  load: ({ dump }) => {
    const tree = StandardMerkleTree.load(dump);
    tree.validate();
    return { root: tree.root, proofs: [...tree.entries()].map(([n]) => tree.getProof(n)) };
  },
  seconds: ({ rows }) => {
    const values = rows.map((r) => [r.account, r.amount]);
    const start = process.cpuUsage();
    const tree = StandardMerkleTree.of(values, ["address", "uint256"]);
    const built = process.cpuUsage(start);
    const sample = Math.min(rows.length, 1000);
    const middle = process.cpuUsage();
    for (let n = 0; n < sample; n++) tree.getProof(n);
    const proofs = process.cpuUsage(middle);
    const seconds = ({ user, system }) => (user + system) / 1e6;
    return { root: tree.root, build: seconds(built), proofs: (seconds(proofs) * rows.length) / sample };
  },
  disperse: ({ text, decimals }) => disperse(text, decimals),
  checksum: ({ batch }) => checksum(batch),
  decode: ({ abi, data }) => {
    const { name, args } = new utils.Interface(abi).parseTransaction({ data });
    return { name, args: JSON.parse(JSON.stringify(args, (_, value) => (value && value.type === "BigNumber" ? BigInt(value.hex).toString() : value))) };
  },
  digest: ({ text, typedData }) => {
    if (text !== undefined) return utils.hashMessage(text);
    const { EIP712Domain: _, ...types } = typedData.types;
    return utils._TypedDataEncoder.hash(typedData.domain, types, typedData.message);
  },
  sign: ({ key, text, typedData }) => {
    const wallet = new Wallet(key);
    if (text !== undefined) return wallet.signMessage(text);
    const { EIP712Domain: _, ...types } = typedData.types;
    return wallet._signTypedData(typedData.domain, types, typedData.message);
  },
  csv: ({ text }) => parseCsv(text),
  compile: ({ file, source }) => {
    const settings = { evmVersion: "istanbul", outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } } };
    const input = { language: "Solidity", sources: { [file]: { content: source } }, settings };
    const found = (path) => ({ contents: fs.readFileSync(require.resolve(path), "utf8") });
    const output = JSON.parse(require("solc").compile(JSON.stringify(input), { import: found }));
    const errors = (output.errors || []).filter((one) => one.severity === "error");
    if (errors.length) throw new Error(errors.map((one) => one.formattedMessage).join("\n"));
    const made = Object.entries(output.contracts[file]);
    return Object.fromEntries(made.map(([name, { abi, evm }]) => [name, { abi, bytecode: evm.bytecode.object }]));
  },
};

const request = JSON.parse(fs.readFileSync(0, "utf8"));
Promise.resolve(verbs[request.verb](request)).then((answer) => process.stdout.write(JSON.stringify(answer)));
