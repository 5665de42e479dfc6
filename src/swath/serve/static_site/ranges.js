// A file on a host of static files: read in blocks where the host answers range requests, else as a whole.
// It looks like a source of geotiff.js, which asks for slices.

const BLOCK = 65536;
const KEPT = 512; // blocks; 32 MiB per file

export class HostFile {
  // gate(file) says whether the whole file may be downloaded now.
  constructor(address, size, gate) {
    this.address = address;
    this.fileSize = size;
    this.gate = gate;
    this.blocks = new Map(); // the block read longest ago comes first
    this.whole = null;
    this.received = 0;
  }

  async fetch(slices) {
    return Promise.all(slices.map((slice) => this.slice(slice.offset, slice.length)));
  }

  async close() { this.blocks.clear(); }

  async slice(offset, length) {
    const end = Math.min(offset + length, this.fileSize);
    const content = new Uint8Array(Math.max(0, end - offset));
    const [first, last] = [Math.floor(offset / BLOCK), Math.floor((end - 1) / BLOCK)];
    this.request(first, last);
    for (let number = first; number <= last; number += 1) {
      const block = await this.block(number);
      const start = number * BLOCK;
      const part = block.subarray(Math.max(0, offset - start), Math.min(block.length, end - start));
      content.set(part, Math.max(start, offset) - offset);
    }
    return content.buffer;
  }

  // One request for each run of blocks that nobody has asked for.
  request(first, last) {
    for (let number = first; number <= last; number += 1) {
      if (this.blocks.has(number)) continue;
      let stop = number;
      while (stop < last && !this.blocks.has(stop + 1)) stop += 1;
      const run = this.read(number * BLOCK, Math.min((stop + 1) * BLOCK, this.fileSize));
      const start = number * BLOCK;
      for (let each = number; each <= stop; each += 1) {
        const from = each * BLOCK - start;
        const block = run.then((bytes) => bytes.subarray(from, from + BLOCK));
        block.catch(() => this.blocks.delete(each)); // what failed is asked for again
        this.blocks.set(each, block);
      }
      number = stop;
    }
  }

  async block(number) {
    if (!this.blocks.has(number)) this.request(number, number);
    const block = this.blocks.get(number);
    this.blocks.delete(number);
    this.blocks.set(number, block);
    while (this.blocks.size > KEPT) this.blocks.delete(this.blocks.keys().next().value);
    return block;
  }

  async read(start, end) {
    if (this.whole) return (await this.whole).subarray(start, end);
    const stopper = new AbortController();
    const answer = await this.ask({ headers: { Range: `bytes=${start}-${end - 1}` }, signal: stopper.signal });
    if (answer.status === 206) {
      this.checkSize(Number(answer.headers.get('Content-Range')?.split('/')[1] ?? this.fileSize));
      const bytes = new Uint8Array(await answer.arrayBuffer());
      if (bytes.length !== end - start) throw new Error(`The host sent ${bytes.length} of ${end - start} bytes of ${this.name}.`);
      this.received += bytes.length;
      return bytes;
    }
    // The host sends the whole file. Small ones are taken as they come; large ones when the reader says so.
    if (!this.gate(this)) {
      stopper.abort();
      throw new NotYet(this);
    }
    if (this.whole) stopper.abort(); // another request was faster
    else this.whole = this.take(answer);
    return (await this.whole).subarray(start, end);
  }

  async take(answer) {
    try {
      const bytes = new Uint8Array(await answer.arrayBuffer());
      this.checkSize(bytes.length);
      this.received += bytes.length;
      return bytes;
    } catch (error) {
      this.whole = null;
      throw error;
    }
  }

  async ask(options) {
    let answer;
    try {
      answer = await fetch(this.address, options);
    } catch {
      throw new Error(`The host did not send ${this.name}. Check the connection.`);
    }
    if (!answer.ok) throw new Error(`The host answered ${answer.status} for ${this.name}.`);
    return answer;
  }

  checkSize(size) {
    if (size !== this.fileSize) throw new Error(`${this.name} has changed on the host. Load the page again.`);
  }

  get name() { return new URL(this.address).pathname.split('/').pop(); }
}

// Drawing waits until a large file may be downloaded.
export class NotYet extends Error {
  constructor(file) {
    super(`${file.name} waits for permission to be downloaded.`);
    this.name = 'NotYet';
  }
}
