/** A file with every event, once, in order. */

import { open } from "node:fs/promises";

const NEWLINE = 0x0a;

/**
 * Each line is an event with its `id`, so the last line is also the cursor. One write stores both, and a crash can't
 * part them.
 */
export class Feed {
  #file;
  /** The id of the last event in the file; `0`, of an empty file, means all that the stream still holds. */
  after = "0";

  /** @param {import("node:fs/promises").FileHandle} file */
  constructor(file) {
    this.#file = file;
  }

  /**
   * Open the file, or make it. An incomplete line, left by a crash, is removed; its event is read again.
   *
   * @param {string} path
   */
  static async open(path) {
    const feed = new Feed(await open(path, "a+"));
    const content = await feed.#file.readFile();
    const end = content.lastIndexOf(NEWLINE) + 1;
    await feed.#file.truncate(end);
    const last = content.subarray(0, end).toString().trimEnd().split("\n").at(-1);
    if (last) feed.after = JSON.parse(last).id;
    return feed;
  }

  /**
   * Append events; done once they are on the disk.
   *
   * @param {readonly import("meterd").Event[]} events
   */
  async write(events) {
    await this.#file.appendFile(events.map((event) => `${JSON.stringify(event)}\n`).join(""));
    await this.#file.datasync();
    this.after = events.at(-1)?.id ?? this.after;
  }

  close() {
    return this.#file.close();
  }
}
