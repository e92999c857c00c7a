import type { IReceipt } from '../../wire/types';
import { attachedTokens, meterOf, rowsOfParts, shortTokens } from '../meter';

function receipt(change: Partial<IReceipt> = {}): IReceipt {
  return {
    model: 'm',
    parts: [
      { kind: 'system', label: 'System', state: 'sent', tokens: 200 },
      { kind: 'file', label: 'a.py', path: 'a.py', state: 'sent', tokens: 100 },
      { kind: 'file', label: 'b.py', path: 'b.py', state: 'cut', tokens: 50 },
      { kind: 'question', label: 'Question', state: 'sent', tokens: 50 }
    ],
    prompt_tokens: 400,
    budget: 1000,
    context_length: 1500,
    max_tokens: 500,
    ...change
  };
}

describe('the token meter', () => {
  it('shows what is used, kept for the answer and free', () => {
    const meter = meterOf(receipt());
    expect(meter).toMatchObject({ used: 400, share: 0.4, level: 'calm' });
    expect(meter.rows.slice(-2).map(row => [row.kind, row.tokens])).toEqual([
      ['answer', 500],
      ['free', 600]
    ]);
  });

  it('knows what of it was attached', () => {
    expect(attachedTokens(receipt())).toBe(150);
    expect(attachedTokens(receipt({ parts: [] }))).toBe(0);
  });

  it('warms and is full as the budget is used up', () => {
    expect(meterOf(receipt({ prompt_tokens: 750 })).level).toBe('warm');
    expect(meterOf(receipt({ prompt_tokens: 950 })).level).toBe('full');
  });

  it('is warm when turns fell out or a part was cut: what is left has room', () => {
    expect(meterOf(receipt({ left_out_turns: 2 })).level).toBe('warm');
    const parts = receipt().parts;
    parts[2] = { ...parts[2], left_out_tokens: 900 };
    expect(meterOf(receipt({ parts })).level).toBe('warm');
  });

  it('does not divide by a budget of nothing', () => {
    expect(meterOf(receipt({ budget: 0 })).share).toBe(1);
  });

  it('finds the row of each attachment by its path', () => {
    const rows = rowsOfParts(
      [
        { type: 'file', path: 'b.py' },
        { type: 'file', path: 'a.py' },
        { type: 'file', path: 'gone.py' }
      ],
      receipt()
    );
    expect(rows.map(row => row?.label ?? null)).toEqual(['b.py', 'a.py', null]);
  });

  it('shortens counts for pills', () => {
    expect(
      [950, 1200, 9960, 34_400, 999_600, 1_300_000].map(shortTokens)
    ).toEqual(['950', '1.2k', '10k', '34k', '1M', '1.3M']);
  });

  it('finds the picture that a file of the workspace was sent as', () => {
    const rows = rowsOfParts(
      [{ type: 'file', path: 'plots/a.png' }],
      receipt({ parts: [{ kind: 'image', label: 'a.png', state: 'sent' }] })
    );
    expect(rows[0]?.kind).toBe('image');
  });
});
