# cmake -DFOLDER=… -DOUTPUT=… -P embed.cmake: an assembler file that holds every file of FOLDER, and the C++ table of them,
# OUTPUT.S and OUTPUT.cc. NAME.gz and NAME.br belong to NAME. Without files the table is empty.
file(GLOB_RECURSE files RELATIVE ${FOLDER} ${FOLDER}/demo/* ${FOLDER}/pkg/*)
# Maps, type declarations and what makes an npm package are for developers, who have the tree.
list(FILTER files EXCLUDE REGEX "[.]map$|/types/|[.]d[.]ts$|/package[.]json$|/README[.]md$|/LICENSE$")
set(assembly ".section .rodata\n")
set(declarations "")
set(entries "")
set(count 0)
foreach(file ${files})
  if(file MATCHES "[.](gz|br)$")
    continue()
  endif()
  string(APPEND entries "      {\"${file}\"")
  foreach(extension "" .gz .br)
    if(NOT EXISTS ${FOLDER}/${file}${extension})
      string(APPEND entries ", {}")
      continue()
    endif()
    string(APPEND assembly ".global codio_file_${count}\ncodio_file_${count}:\n.incbin \"${FOLDER}/${file}${extension}\"\n"
                           ".global codio_file_${count}_end\ncodio_file_${count}_end:\n.byte 0\n")
    string(APPEND declarations "extern const std::uint8_t codio_file_${count}[], codio_file_${count}_end[];\n")
    string(APPEND entries ", {codio_file_${count}, codio_file_${count}_end}")
    math(EXPR count "${count} + 1")
  endforeach()
  string(APPEND entries "},\n")
endforeach()
string(APPEND assembly ".section .note.GNU-stack,\"\",@progbits\n")
file(WRITE ${OUTPUT}.S "${assembly}")
file(WRITE ${OUTPUT}.cc "#include \"node/embedded_files.h\"

#include <cstdint>
#include <vector>

extern \"C\" {
${declarations}}

namespace codio::node {

std::span<const EmbeddedFile> embedded_files() {
  static const std::vector<EmbeddedFile> files{
${entries}  };
  return files;
}

}  // namespace codio::node
")
