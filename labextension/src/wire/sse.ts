/**
 * Incremental SSE decoder: bytes in, messages out, no I/O. Lines end at LF, CRLF
 * or CR only: U+0085, U+2028 and U+2029 are text. A chunk may end anywhere, also
 * inside a character. Twin of jupyter_ext/cellar/sse.py; both read the golden
 * files of tests/contract.
 */

export interface ISSEMessage {
  data: string;
  event: string;
  /** the last id that the stream gave, as the specification has it */
  id: string;
  /** this message gave it itself */
  ownId: boolean;
}

const LF = 10;
const CR = 13;

export class SSEDecoder {
  /** The messages that this chunk completed. Comments are dropped. */
  feed(chunk: Uint8Array): ISSEMessage[] {
    const messages: ISSEMessage[] = [];
    let start = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i];
      if (byte !== LF && byte !== CR) {
        continue;
      }
      if (byte === LF && this.afterCR && i === start && !this.held.length) {
        this.afterCR = false;
        start = i + 1;
        continue;
      }
      this.afterCR = byte === CR;
      this.line(this.take(chunk.subarray(start, i)), messages);
      start = i + 1;
    }
    if (start < chunk.length) {
      this.held.push(chunk.slice(start));
      this.afterCR = false;
    }
    return messages;
  }

  private take(rest: Uint8Array): string {
    if (!this.held.length) {
      return this.text.decode(rest);
    }
    const pieces = [...this.held, rest];
    this.held = [];
    const whole = new Uint8Array(pieces.reduce((n, p) => n + p.length, 0));
    let at = 0;
    for (const piece of pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return this.text.decode(whole);
  }

  private line(line: string, messages: ISSEMessage[]): void {
    if (this.first) {
      this.first = false;
      line = line.replace(/^\uFEFF/, '');
    }
    if (line === '') {
      if (this.data.length) {
        messages.push({
          data: this.data.join('\n'),
          event: this.event || 'message',
          id: this.id,
          ownId: this.ownId
        });
      }
      this.data = [];
      this.event = '';
      this.ownId = false;
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) {
      return;
    }
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) {
      value = value.slice(1);
    }
    if (field === 'data') {
      this.data.push(value);
    } else if (field === 'event') {
      this.event = value;
    } else if (field === 'id' && !value.includes('\0')) {
      this.id = value;
      this.ownId = true;
    }
  }

  private readonly text = new TextDecoder('utf-8', { ignoreBOM: true });
  private held: Uint8Array[] = [];
  private data: string[] = [];
  private event = '';
  private id = '';
  private ownId = false;
  private first = true;
  private afterCR = false;
}
