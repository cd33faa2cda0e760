// What Snapshot's own library makes of a proposal that is signed, and how its pages show a body: one request on stdin, one answer on stdout.
const fs = require("fs");
const { createHash } = require("crypto");
const { Remarkable } = require("remarkable");
const { linkify } = require("remarkable/linkify");

// The rules that Snapshot's interface switches off: github snapshot-labs/sx-monorepo, apps/ui/src/components/Ui/Markdown.vue.
const page = new Remarkable({ html: false, breaks: true, typographer: false, linkTarget: "_blank" }).use(linkify);
page.core.ruler.disable(["abbr", "abbr2", "footnote_tail", "replacements", "smartquotes"]);
page.block.ruler.disable(["code", "deflist", "footnote", "htmlblock", "lheading"]);
const off = ["autolink", "del", "entity", "escape", "footnote_inline", "footnote_ref", "htmltag", "ins", "mark", "sub", "sup", "text"];
page.inline.ruler.disable(off);

const library = () => require("@snapshot-labs/snapshot.js"); // a second, which a page does not need

// What the sequencer does with what it is sent: it drops EIP712Domain, hashes the types, and checks the payload that it makes of the message.
const take = async ({ typedData, signature }) => {
  const snapshot = library();
  const known = require("@snapshot-labs/snapshot.js/src/sign/hashedTypes.json");
  const { domain, message } = typedData;
  const { EIP712Domain: _, ...types } = typedData.types;
  const hash = createHash("sha256").update(JSON.stringify(types)).digest("hex");
  const { title, body, discussion, choices, privacy, labels, start, end, snapshot: block, plugins, type, app } = message;
  const metadata = { plugins: JSON.parse(plugins) };
  const payload = { name: title, body, discussion, choices, privacy, labels, start, end, snapshot: block, metadata, type, app };
  return {
    hash,
    kind: known[hash],
    valid: snapshot.utils.validateSchema(snapshot.schemas.proposal, payload),
    digest: snapshot.utils.getHash({ domain, types, message }),
    signed: await snapshot.utils.verify(message.from, signature, { domain, types, message }),
    length: body.length,
  };
};

const verbs = {
  take: ({ all }) => Promise.all(all.map(take)),
  // What Snapshot's own client signs of a message.
  client: ({ message, key }) => {
    const client = new (library().Client712)();
    client.send = async (envelope) => envelope;
    return client.proposal(new (require("ethers").Wallet)(key), message.from, message);
  },
  names: ({ names }) => {
    const { ensNormalize } = require(require.resolve("@ethersproject/hash", { paths: [require.resolve("@snapshot-labs/snapshot.js")] }));
    return names.map((name) => {
      try {
        return ensNormalize(name) === name.toLowerCase();
      } catch {
        return false;
      }
    });
  },
  show: ({ texts }) => texts.map((text) => page.render(text)),
};

const request = JSON.parse(fs.readFileSync(0, "utf8"));
Promise.resolve(verbs[request.verb](request)).then((answer) => process.stdout.write(JSON.stringify(answer)));
