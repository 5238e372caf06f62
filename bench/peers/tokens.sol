// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

// What licensed printing would cost with ordinary tokens: a copy is a unit of an ERC-1155 id, burned to print; a part is
// an ERC-721 token, minted when it is made. None of Printright's checks is in here. For measuring only, never deployed.

import {ERC1155} from "solady/src/tokens/ERC1155.sol";
import {ERC721} from "solady/src/tokens/ERC721.sol";

contract Copies is ERC1155 {
    function uri(uint256) public pure override returns (string memory) {
        return "";
    }

    function issue(address to, uint256 id, uint256 copies) external {
        _mint(to, id, copies, "");
    }

    function spend(uint256 id, uint256 copies) external {
        _burn(msg.sender, id, copies);
    }
}

contract Parts is ERC721 {
    function name() public pure override returns (string memory) {
        return "Parts";
    }

    function symbol() public pure override returns (string memory) {
        return "PART";
    }

    function tokenURI(uint256) public pure override returns (string memory) {
        return "";
    }

    function make(address to, uint256 id) external {
        _mint(to, id);
    }

    function makeMany(address to, uint256 first, uint256 count) external {
        for (uint256 i; i < count; ++i) _mint(to, first + i);
    }
}
