# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title printright
@license Apache-2.0
@notice The one contract of a network: members and units, designs, licenses and jobs, parts, anchors of
        custodians' logs.
@dev One deployment composes the modules, since calls between contracts cost gas. Immutable; a new version is a
     new deployment, named in the network file.
"""

import registry
import designs
import licenses
import parts
import anchors

initializes: registry
initializes: designs[registry := registry]
initializes: licenses[registry := registry, designs := designs]
initializes: parts[licenses := licenses]
initializes: anchors[registry := registry]

exports: registry.__interface__
exports: designs.__interface__
exports: licenses.__interface__
exports: parts.__interface__
exports: anchors.__interface__


@deploy
def __init__(registrar: address):
    """
    @param registrar Who admits members first.
    """
    registry.__init__(registrar)
