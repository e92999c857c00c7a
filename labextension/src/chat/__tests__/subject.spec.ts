import type { IPill } from '../../wire/types';
import { subjectOf } from '../subject';
import { turn } from './server';

const NOTEBOOK = { kind: 'notebook', label: 'a', path: 'a.ipynb', auto: true };

function about(...pills: (Partial<IPill> & { kind: string })[]) {
  const whole = pills.map(pill => ({ label: '', path: 'a.ipynb', ...pill }));
  return subjectOf(new Map([['t', turn('t', { pills: whole })]]), 't');
}

describe('the cell that a question was about', () => {
  it('is the one that was attached, before the one the user was in', () => {
    const found = about(
      { ...NOTEBOOK, cell: 'c1' },
      { kind: 'error', cell: 'c2' }
    );
    expect(found).toEqual({ path: 'a.ipynb', cell: 'c2', how: 'cell' });
  });

  it('is known by its selected text', () => {
    const found = about(
      { kind: 'cells', cell: 'c2' },
      { kind: 'selection', cell: 'c2' }
    );
    expect(found).toMatchObject({ cell: 'c2', how: 'selection' });
  });

  it('is the one the user was in when several were attached, or none', () => {
    const cells = [
      { kind: 'cells', cell: 'c2' },
      { kind: 'cells', cell: 'c3' }
    ];
    for (const others of [cells, [{ kind: 'file', path: 'b.csv' }], []]) {
      const found = about({ ...NOTEBOOK, cell: 'c1' }, ...others);
      expect(found).toMatchObject({ cell: 'c1', how: 'active' });
    }
  });

  it('is of the notebook that was open, and not of another one', () => {
    const other = { kind: 'notebook', path: 'b.ipynb', cell: 'x' };
    const found = about(other, { ...NOTEBOOK, cell: 'c1' });
    expect(found?.path).toBe('a.ipynb');
  });

  it('is none where no cell was attached', () => {
    expect(about({ kind: 'file', path: 'a.py' })).toBeNull();
    expect(subjectOf(new Map(), 't')).toBeNull();
  });

  it('is that of the first answer for one that goes on with it', () => {
    const turns = new Map([
      ['a', turn('a', { pills: [{ ...NOTEBOOK, cell: 'c1' }] })],
      ['b', turn('b', { continue_of: 'a' })],
      ['c', turn('c', { continue_of: 'b' })]
    ]);
    expect(subjectOf(turns, 'c')?.cell).toBe('c1');
  });
});
