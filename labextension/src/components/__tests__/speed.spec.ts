import { speedOf } from '../transcript/Receipt';

describe('the speed of an answer', () => {
  it.each([
    ['is of what came after the first token', 201, 1_000, 5_000, 50],
    ['is a whole number', 100, 0, 3_000, 33],
    ['is not told of a few tokens', 12, 100, 5_000, null],
    ['is not told of a moment', 400, 100, 106, null],
    ['is never nothing', 30, 0, 100_000, null]
  ])('%s', (_, completion, ttft_ms, total_ms, speed) => {
    expect(speedOf({ prompt: 10, completion, ttft_ms, total_ms })).toBe(speed);
  });

  it('is not told by a server that measured nothing', () => {
    expect(speedOf({ prompt: 10, completion: 100 })).toBeNull();
  });
});
