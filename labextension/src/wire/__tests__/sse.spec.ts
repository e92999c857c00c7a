import { SSEDecoder, type ISSEMessage } from '../sse';

function decode(bytes: Uint8Array, step: number): ISSEMessage[] {
  const decoder = new SSEDecoder();
  const messages: ISSEMessage[] = [];
  for (let at = 0; at < bytes.length; at += step) {
    messages.push(...decoder.feed(bytes.subarray(at, at + step)));
  }
  return messages;
}

const utf8 = (text: string) => new TextEncoder().encode(text);

describe.each([1, 2, 3, 5, 1_000_000])('fed by %d bytes, the decoder', step => {
  const data = (text: string) => decode(utf8(text), step).map(m => m.data);

  it('joins the lines of a message', () => {
    expect(data('data: a\ndata: b\n\n')).toEqual(['a\nb']);
  });

  it('takes LF, CRLF and CR for line ends', () => {
    expect(data('data: a\r\n\r\ndata: b\r\rdata: c\n\n')).toEqual([
      'a',
      'b',
      'c'
    ]);
  });

  it('takes U+0085, U+2028 and U+2029 for text', () => {
    expect(data('data: a\u0085b\u2028c\u2029d\n\n')).toEqual([
      'a\u0085b\u2028c\u2029d'
    ]);
  });

  it('keeps characters whole that a chunk cut', () => {
    expect(data('data: 한국어 😀\n\n')).toEqual(['한국어 😀']);
  });

  it('drops comments and unknown fields', () => {
    expect(data(': ping\n\nretry: 10\nfoo: x\ndata: a\n\n')).toEqual(['a']);
  });

  it('takes one space off and no more', () => {
    expect(data('data:a\ndata:  b\ndata\n\n')).toEqual(['a\n b\n']);
  });

  it('keeps the id until another one comes', () => {
    const messages = decode(
      utf8('id: 0.7\ndata: a\n\ndata: b\n\nid: 1.2\ndata: c\n\n'),
      step
    );
    expect(messages.map(m => m.id)).toEqual(['0.7', '0.7', '1.2']);
  });

  it('ignores a byte order mark at the start', () => {
    expect(data('\uFEFFdata: a\n\n')).toEqual(['a']);
  });

  it('gives nothing for a message that is not finished', () => {
    expect(data('data: a\n\ndata: b\n')).toEqual(['a']);
  });
});
