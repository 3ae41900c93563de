// The real binary as a process, and the clients that point at it.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import OSS from "ali-oss";

export const root = fileURLToPath(new URL("../../..", import.meta.url));
export const binary = path.resolve(process.env.MILLPOND_BIN ?? path.join(root, "target/release/millpond"));

// The fake credentials of LiveChannel 3.5.
export const accessKeyId = "LTAI5tFakeKeyForSpec0001";
export const accessKeySecret = "FakeSecretForSpecOnly0000000001";

/** How many servers a `Server` is: conformance/cluster/suites.py puts several of one installation behind a balancer in its place. */
const servers = Number(process.env.MILLPOND_SERVERS ?? 1);

/** Options of a test that is about one machine, and why; of several servers it is not asked. */
export const oneMachine = (why) => ({ skip: servers > 1 && why });

export class Server {
  static async start(...extra) {
    if (!existsSync(binary)) throw new Error(`${binary} is missing: run \`cargo build --release\` or set MILLPOND_BIN`);
    const server = new Server();
    server.folder = mkdtempSync(path.join(tmpdir(), "millpond-node-"));
    server.logPath = path.join(server.folder, "server.log");
    await server.#run("127.0.0.1:0", extra);
    return server;
  }

  /** Kills the server, and starts it again on the same data and the same port after a pause. */
  async restart(pauseMs = 0, ...extra) {
    this.process.kill("SIGKILL");
    await this.ended;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    await this.#run(this.address, extra);
  }

  async #run(listen, extra) {
    const server = this;
    server.process = spawn(
      binary,
      [
        "serve", "--data-dir", path.join(server.folder, "data"), "--listen", listen, "--rtmp-listen", "127.0.0.1:0",
        "--admin-listen", "127.0.0.1:0", "--log-format", "json", ...extra,
      ],
      {
        cwd: server.folder,
        env: { ...process.env, OSS_ACCESS_KEY_ID: accessKeyId, OSS_ACCESS_KEY_SECRET: accessKeySecret },
        stdio: ["ignore", "pipe", openSync(server.logPath, "a")],
      },
    );
    server.ended = new Promise((resolve) => server.process.once("exit", resolve));
    const ready = await server.#listening();
    server.address = ready.http[0];
    server.adminAddress = ready.admin;
    /** Where the console and the management API are when they have a listener of their own. */
    server.consoleAddress = ready.console;
    server.port = Number(server.address.split(":").at(-1));
  }

  async #listening() {
    const timeout = setTimeout(() => this.process.kill("SIGKILL"), 20_000);
    for await (const line of createInterface({ input: this.process.stdout })) {
      let message;
      try {
        message = JSON.parse(line);
      } catch {
        continue;
      }
      if (message.message === "listening") {
        clearTimeout(timeout);
        this.process.stdout.resume();
        return message;
      }
    }
    throw new Error(`the server did not start:\n${readFileSync(this.logPath, "utf8").slice(-3000)}`);
  }

  /** Runs a command of the binary against the management API; `input` is what it reads. */
  manage(args, input = "") {
    const done = spawnSync(binary, [...args, "--json"], {
      input, encoding: "utf8",
      env: {
        ...process.env, OSS_ACCESS_KEY_ID: accessKeyId, OSS_ACCESS_KEY_SECRET: accessKeySecret,
        MILLPOND_ADMIN: `http://${this.consoleAddress ?? this.adminAddress}`,
      },
    });
    if (done.status !== 0) throw new Error(`millpond ${args.join(" ")}: ${done.error ?? done.stderr}`);
    return done.stdout ? JSON.parse(done.stdout) : null;
  }

  async stop() {
    this.process.kill("SIGTERM");
    const status = await this.ended;
    rmSync(this.folder, { recursive: true, force: true });
    return status;
  }

  /** An ali-oss client; `bucket.localhost` is loopback here without asking a resolver. */
  client(options = {}) {
    return new OSS({
      accessKeyId,
      accessKeySecret,
      region: "oss-cn-hangzhou",
      endpoint: `http://localhost:${this.port}`,
      agent: new http.Agent({ lookup: loopback }),
      timeout: 10_000,
      ...options,
    });
  }
}

/** Resolves every name to 127.0.0.1, where the server listens. */
function loopback(_host, options, callback) {
  if (options.all) callback(null, [{ address: "127.0.0.1", family: 4 }]);
  else callback(null, "127.0.0.1", 4);
}

/** `what` names the condition, or is a function that does once the time is over. */
export async function waitFor(condition, what, timeoutMs = 15_000, everyMs = 100) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${typeof what === "function" ? await what() : what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
