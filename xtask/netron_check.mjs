// Opens IRs (.xml beside .bin) in Netron's own parser, without a browser.
//
//   node netron_check.mjs NETRON MODEL.xml...
//
// NETRON is the folder with Netron's view.js: `pip install --target DIR netron`, then DIR/netron (the same sources
// that other channels ship). One line a model; exit 1 when any cannot be opened, holds nothing,
// or has a constant whose bytes do not decode.

import * as fs from 'node:fs';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';

const [netron, ...models] = process.argv.slice(2);
if (!netron || models.length === 0) {
    console.error('usage: node netron_check.mjs NETRON MODEL.xml...');
    process.exit(2);
}

// The Python wheel ships modules without saying so; node asks for this mark.
const mark = path.join(netron, 'package.json');
if (!fs.existsSync(mark)) {
    fs.writeFileSync(mark, '{ "type": "module" }\n');
}
const load = (file) => import(pathToFileURL(path.resolve(netron, file)).href);
const view = await load('view.js');
const base = await load('base.js');

const host = {
    type: 'Test',
    environment: () => null,
    require: (id) => load(`${id}.js`),
    asset: async (file) => fs.readFileSync(path.join(netron, file), 'utf-8'),
};

// What a host gives Netron for one file: its bytes, its neighbours, Netron's own modules and tables.
const openFile = (file) => {
    const folder = path.dirname(file);
    return {
        identifier: path.basename(file),
        stream: new base.BinaryStream(new Uint8Array(fs.readFileSync(file))),
        entries: new Map(),
        fetch: async (name) => new base.BinaryStream(new Uint8Array(fs.readFileSync(path.join(folder, name)))),
        asset: host.asset,
        require: host.require,
        error: (error) => {
            throw error;
        },
    };
};

const countConstants = (node) => {
    let count = 0;
    for (const value of node.inputs.flatMap((argument) => argument.value)) {
        if (value && value.initializer) {
            const tensor = new base.Tensor(value.initializer);
            const { shape } = tensor.type;
            const hollow = shape && shape.dimensions.some((dimension) => dimension === 0);
            if (tensor.empty && !hollow) {
                throw new Error(`constant of '${node.name}' has no data in the .bin`);
            }
            tensor.toString(); // decodes the first thousands of elements; throws when it cannot
            count += 1;
        }
    }
    return count;
};

let failed = false;
for (const file of models) {
    try {
        const service = new view.ModelFactoryService(host);
        const model = await service.open(openFile(file));
        let [nodes, constants] = [0, 0];
        for (const graph of model.modules) {
            nodes += graph.nodes.length;
            for (const node of graph.nodes) {
                if (!node.type || !node.type.name) {
                    throw new Error(`node '${node.name}' has no type`);
                }
                constants += countConstants(node);
            }
        }
        if (nodes === 0) {
            throw new Error('no nodes');
        }
        console.log(`${file}: ${model.format}, ${model.modules.length} graph(s), ${nodes} nodes, ${constants} constants`);
    } catch (error) {
        failed = true;
        console.error(`${file}: ${error.message}`);
    }
}
process.exit(failed ? 1 : 0);
