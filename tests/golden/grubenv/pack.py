#!/usr/bin/env python3
"""vectors.json.gz (made with the real grub-editenv) -> vectors.txt, which a test reads without a JSON parser."""
import base64, gzip, json, re, sys


def show(data):
    """Printable ASCII as it is, but \\n, \\\\, \\xNN, and \\{COUNT}C for a run of one byte C."""
    def one(byte):
        return {10: '\\n', 92: '\\\\', 32: '\\s'}.get(byte) or (chr(byte) if 32 < byte < 127 else f'\\x{byte:02x}')
    runs = re.findall(rb'((.)\2*)', data, re.S)
    return ''.join(f'\\{{{len(run)}}}{one(run[0])}' if len(run) > 8 else one(run[0]) * len(run) for run, _ in runs)


def raw(text):
    return text.encode('latin-1')


for case in json.load(gzip.open(sys.argv[1])):
    print('case', case['name'])
    before = None if case['input_b64'] is None else base64.b64decode(case['input_b64'])
    if before is not None:
        print('file', show(before))
    for step, result in zip(case['steps'], case['results']['2.06'], strict=True):
        print('step', *(show(raw(word)) or '\\e' for word in step))
        print('exit', result['rc'])
        for stream in 'stdout', 'stderr':
            if result[stream]:
                print(stream, show(raw(result[stream])))
        after = None if result['file_b64'] is None else base64.b64decode(result['file_b64'])
        if after != before:
            print('file', show(after))
        before = after
