import { ApiError } from '../../api';
import { fileItem } from '../items';
import { Preview } from '../preview';
import { tick } from './server';
import type { IReceipt } from '../../wire/types';

const RECEIPT: IReceipt = {
  model: 'm',
  parts: [],
  prompt_tokens: 10,
  budget: 100,
  context_length: 150,
  max_tokens: 50
};

function changed(preview: Preview): Promise<void> {
  return new Promise(resolve => {
    const stop = preview.subscribe(() => {
      stop();
      resolve();
    });
  });
}

describe('the preview of a question', () => {
  it.each([
    [413, 'too_large'],
    [400, 'context_too_long']
  ])(
    'remembers that it was too long, until it is not: %d %s',
    async (status, code) => {
      const ask = jest
        .fn<Promise<IReceipt>, []>()
        .mockRejectedValueOnce(new ApiError(status, { code, message: '' }))
        .mockResolvedValueOnce(RECEIPT);
      const preview = new Preview(ask);
      preview.want({ text: 'long' }, [], 0);
      await changed(preview);
      expect(preview.getState().tooLong?.code).toBe(code);
      preview.want({ text: 'short' }, [], 0);
      await changed(preview);
      expect(preview.getState()).toMatchObject({
        receipt: RECEIPT,
        tooLong: null
      });
    }
  );

  it('does not say of another question that it is too long when nobody knows', async () => {
    const away = new ApiError(0, { code: 'network', message: '' });
    const ask = jest
      .fn<Promise<IReceipt>, []>()
      .mockRejectedValueOnce(
        new ApiError(413, { code: 'too_large', message: '' })
      )
      .mockRejectedValue(away);
    const preview = new Preview(ask);
    const big = { ...fileItem('big.csv'), read: async () => null };
    preview.want({ text: 'long' }, [big], 0);
    await changed(preview);
    preview.want({ text: 'long' }, [big], 0);
    await tick();
    await tick();
    expect(ask).toHaveBeenCalledTimes(2);
    expect(preview.getState().tooLong?.code).toBe('too_large');
    preview.want({ text: 'long' }, [], 0);
    await changed(preview);
    expect(preview.getState().tooLong).toBeNull();
  });
});
