import { readFileSync } from 'fs';
import { join } from 'path';

import { KNOWN_CODES } from '../words';

const ERRORS = join(__dirname, '../../../../jupyter_ext/cellar/errors.py');

describe('the words for errors', () => {
  it('know each code of cellar.errors', () => {
    const source = readFileSync(ERRORS, 'utf-8');
    const codes = [...source.matchAll(/^ {4}code = "(\w+)"/gm)].map(
      match => match[1]
    );
    expect(codes.length).toBeGreaterThan(15);
    expect(KNOWN_CODES).toEqual(expect.arrayContaining(codes));
  });
});
