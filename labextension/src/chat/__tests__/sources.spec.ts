import { Sources } from '../sources';
import type { IContextItem, IContextSource } from '../tokens';

function offering(...labels: string[]): IContextSource {
  return {
    automatic: () => [],
    onChanged: () => () => undefined,
    mentions: async () =>
      labels.map(label => ({ key: label, label }) as IContextItem)
  };
}

describe('what @ offers', () => {
  it('puts what only scattered letters match behind, whatever its source', async () => {
    const sources = new Sources();
    sources.add(offering('AttributeError in cell 20', 'sample.ipynb'));
    sources.add(offering('sales.csv', 'old'));
    const found = await sources.mentions('sal', true);
    expect(found.map(item => item.label)).toEqual([
      'sales.csv',
      'AttributeError in cell 20',
      'sample.ipynb',
      'old'
    ]);
  });
});
