// One exchange with npm's iso_8583, as its own program: a JSON object {modules, host, port, fields} on stdin, the elements of
// the answer as JSON on stdout. Nothing of the switch is here.
"use strict";

const net = require("node:net");
const { host, port, modules, fields } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const Iso8583 = require(`${modules}/iso_8583`);

// Bitmaps are raw bytes on both ways; its message has the two-byte length in front already.
const message = new Iso8583(fields).getBufferMessage();
if (!Buffer.isBuffer(message)) {
  throw new Error(JSON.stringify(message));
}
let received = Buffer.alloc(0);
const connection = net.connect(port, host, () => connection.write(message));
connection.setTimeout(10000, () => connection.destroy(new Error("no answer")));
connection.on("data", (data) => {
  received = Buffer.concat([received, data]);
  if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
    const answer = new Iso8583().getIsoJSON(received, {});
    process.stdout.write(JSON.stringify({ sent: message.toString("hex"), received: received.toString("hex"), answer }));
    connection.destroy();
  }
});
