import { readFileSync } from 'fs';
import { join } from 'path';

import { nullTranslator } from '@jupyterlab/translation';

import type { IReceiptPart } from '../../wire/types';
import { KNOWN_REASONS, whyOf } from '../reasons';

const REASONS = join(
  __dirname,
  '../../../../jupyter_ext/cellar/context/reasons.py'
);
const trans = nullTranslator.load('cellar');

function row(values: Partial<IReceiptPart>): IReceiptPart {
  return { kind: 'file', label: 'a.py', state: 'cut', ...values };
}

describe('the words for why a part was not sent whole', () => {
  it('know each code of the server, and no other', () => {
    const source = readFileSync(REASONS, 'utf-8');
    const codes = [...source.matchAll(/^ {4}"(\w+)": "/gm)].map(
      match => match[1]
    );
    expect(codes.length).toBeGreaterThan(15);
    expect([...KNOWN_REASONS].sort()).toEqual(codes.sort());
  });

  it('put the numbers in', () => {
    const reasons = [
      { code: 'cells_changed', values: [2, 1400] },
      { code: 'outputs_shortened', values: [1] }
    ];
    expect(whyOf(trans, row({ reasons }))).toBe(
      '2 of 1,400 cells changed, outputs of 1 cell shortened'
    );
  });

  it('give way to the English of a newer server', () => {
    const reasons = [{ code: 'no_room' }, { code: 'full_moon' }];
    expect(whyOf(trans, row({ reasons, detail: 'no room, full moon' }))).toBe(
      'no room, full moon'
    );
  });

  it('are not needed for a receipt of an older server', () => {
    expect(whyOf(trans, row({ detail: 'binary file' }))).toBe('binary file');
    expect(whyOf(trans, row({}))).toBe('');
  });
});
